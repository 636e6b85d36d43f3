//! The place of a received message in a trace.

/// The relation of the span in which a received message is handled to the span that sent it. An answer is always the child of
/// its ask, or of the trace that the ask was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SpanRelation {
    /// It has a link to it, and belongs to a trace of its own, unless the handler runs inside of another span. As the conventions
    /// have it by default: a message that is handled by many, or much later, does not make its sender's trace longer.
    #[default]
    Linked,
    /// It is its child, so that both belong to one trace, and has the link as well.
    Child,
}
