"""Access tokens for destinations (OAuth 2.0): what the file says, the exchange with the authorization server, the tokens in use."""
