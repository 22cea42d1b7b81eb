"""What comes in over HTTP: questions, the endpoints of the API, uploads; and what guards it."""
