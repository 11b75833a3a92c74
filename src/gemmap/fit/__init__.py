"""The reconstruction algorithm; opens no file."""
