//! Many peers at once: what dialers by the thousand do to the bind ends that they come back to, and what a consumer of a
//! service loses with a part of its instances. Dialers and consumers are the machines of the engine; the bind ends, the network and the
//! clock are a model, which docs/SCALE.md describes.
//!
//! The plots in docs/ are what these runs draw, and a test holds that they are. `AIOMSG_PLOTS=docs` draws them anew.

mod plot;
mod service_loss;
mod storm;
mod tests;
