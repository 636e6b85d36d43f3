//! Byte streams and the endpoints that they come from.
