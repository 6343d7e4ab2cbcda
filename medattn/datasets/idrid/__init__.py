"""IDRiD, the Indian Diabetic Retinopathy Image Dataset: grades, lesions, the relevant region."""
