"""`mien serve`: pictures, videos and streams read for clients over HTTP and WebSockets."""
