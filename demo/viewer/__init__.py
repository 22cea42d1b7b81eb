"""The panels in the browser: the data that they are sent, and the script that draws them."""
