"""What every method that trains shares: batches, the loop, checkpoints. A method brings its step."""
