//! Metadata that cannot travel.

/// Metadata of a message cannot travel, because of its size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// A header has no name, or one of more than 255 bytes.
    #[error("the name of a header is 1 to 255 bytes long, and this one is {} bytes", .0.len())]
    Name(String),
    /// The value of the header of this name has more than 65,535 bytes.
    #[error("the value of the header `{0}` is longer than 65535 bytes")]
    Value(String),
    /// A content type is empty, or has more than 255 bytes.
    #[error("a content type is 1 to 255 bytes long, and this one is {} bytes", .0.len())]
    ContentType(String),
    /// So many headers are more than [`MAX_HEADERS`](crate::payload::Metadata::MAX_HEADERS).
    #[error("a message has at most 64 headers, and this one has {0}")]
    TooMany(usize),
    /// So many bytes are more than [`MAX_BYTES`](crate::payload::Metadata::MAX_BYTES).
    #[error("the metadata of a message takes at most 8192 bytes, and this takes {0}")]
    TooLarge(usize),
}
