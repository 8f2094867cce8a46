"""Tools of others: Optuna, TensorBoard, MLflow, Weights & Biases, Ray Tune. One for each, imported where it is used."""
