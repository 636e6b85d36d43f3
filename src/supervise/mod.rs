//! Supervision of actix actors, with or without sockets.
