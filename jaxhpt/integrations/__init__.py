"""Other people's tools: Optuna, TensorBoard, MLflow, Weights & Biases. One for each, imported where it is used."""
