"""The embedded web server: the official frontend's page, its HTTP and WebSocket contract, and a queue that stays."""
