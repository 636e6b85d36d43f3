//! The services that one peer offers, put together from its OFFER frames (WIRE §10).

use std::collections::HashSet;
use std::sync::Arc;

/// Services of one socket. With names and instances of 255 bytes each, a catalog of as many takes 130 KiB, and as
/// much again while the next one comes.
pub(crate) const MAX_SERVICES: usize = 256;

/// Bytes that keeping a service takes beside its names.
const SERVICE_BYTES: usize = 64;
/// Bytes that one OFFER frame of 4 KiB adds to a catalog, at most.
pub(crate) const MAX_PART_BYTES: usize = 4096 + MAX_SERVICES * SERVICE_BYTES;

/// Random bytes that tell one start of a process from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProcessStart(pub(crate) [u8; 8]);

/// One service as its provider offers it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct OfferedService {
    pub(crate) name: Arc<str>,
    /// Name of the instance, by which keys are placed.
    pub(crate) instance: Arc<str>,
}

impl OfferedService {
    /// Bytes, about, that it takes: its names, and what keeping them costs.
    fn bytes(&self) -> usize {
        SERVICE_BYTES + self.name.len() + self.instance.len()
    }
}

/// One OFFER frame. `services` yields names and instances.
#[derive(Debug, Clone)]
pub(crate) struct OfferPart<S> {
    pub(crate) start: ProcessStart,
    pub(crate) generation: u32,
    /// Another part of the same generation follows.
    pub(crate) more: bool,
    /// The peer is about to end.
    pub(crate) draining: bool,
    pub(crate) services: S,
}

/// Consequence of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CatalogStep {
    /// The generation goes on in the next part.
    Incomplete,
    /// The part is not used.
    Ignored(Misfit),
    /// The generation is complete and replaces the one before.
    Replaced(CatalogChange),
}

/// Reasons for ignoring a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Its generation is older than the catalog, or than the parts that are being put together.
    Older,
    /// Its generation has more services than a socket may offer.
    TooMany,
    /// Its generation names a service twice.
    Repeated,
}

/// The difference that a new generation makes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct CatalogChange {
    /// The catalog before was of another start: what is in both is offered by a new process.
    pub(crate) restarted: bool,
    pub(crate) added: Vec<OfferedService>,
    pub(crate) removed: Vec<OfferedService>,
    /// The peer is about to end.
    pub(crate) draining: bool,
}

/// What one peer offers. A service whose instance has another name is another service.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    complete: Option<Generation>,
    coming: Option<Coming>,
}

#[derive(Debug)]
struct Generation {
    start: ProcessStart,
    number: u32,
    draining: bool,
    services: Vec<OfferedService>,
}

/// The generation that is being put together, or the reason why the rest of it is ignored.
#[derive(Debug)]
struct Coming {
    generation: Generation,
    misfit: Option<Misfit>,
}

impl Catalog {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The start of the process behind the catalog.
    pub(crate) fn start(&self) -> Option<ProcessStart> {
        self.complete.as_ref().map(|complete| complete.start)
    }

    /// True if the peer has said that it is about to end.
    pub(crate) fn is_draining(&self) -> bool {
        self.complete
            .as_ref()
            .is_some_and(|complete| complete.draining)
    }

    /// The services, in the order of the offer.
    pub(crate) fn services(&self) -> &[OfferedService] {
        self.complete
            .as_ref()
            .map_or(&[], |complete| &complete.services)
    }

    /// The service that a LOAD of this generation means by an index.
    pub(crate) fn service_at(&self, generation: u32, index: u16) -> Option<&OfferedService> {
        let complete = self.complete.as_ref()?;
        if complete.number != generation {
            return None;
        }
        complete.services.get(usize::from(index))
    }

    /// Bytes, about, that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let coming = self.coming.as_ref().map(|coming| &coming.generation);
        let generations = [self.complete.as_ref(), coming].into_iter().flatten();
        generations
            .flat_map(|generation| &generation.services)
            .map(OfferedService::bytes)
            .sum()
    }

    /// An OFFER frame has come.
    pub(crate) fn handle_part<'a>(
        &mut self,
        part: OfferPart<impl IntoIterator<Item = (&'a str, &'a str)>>,
    ) -> CatalogStep {
        if self.is_older(part.start, part.generation) {
            return CatalogStep::Ignored(Misfit::Older);
        }
        let mut coming = self.continued(part.start, part.generation);
        coming.generation.draining |= part.draining;
        if coming.misfit.is_none() {
            coming.misfit = coming.add(part.services);
        }
        if let Some(misfit) = coming.misfit {
            // The rest of it is ignored, too.
            self.coming = part.more.then_some(coming);
            return CatalogStep::Ignored(misfit);
        }
        if part.more {
            self.coming = Some(coming);
            return CatalogStep::Incomplete;
        }
        CatalogStep::Replaced(self.replace(coming.generation))
    }

    fn is_older(&self, start: ProcessStart, generation: u32) -> bool {
        let coming = self.coming.as_ref().map(|coming| &coming.generation);
        [self.complete.as_ref(), coming]
            .into_iter()
            .flatten()
            .any(|known| known.start == start && generation < known.number)
    }

    /// The parts so far of this generation. Those of another one are forgotten.
    fn continued(&mut self, start: ProcessStart, number: u32) -> Coming {
        let continued = self.coming.take().filter(|coming| {
            (coming.generation.start, coming.generation.number) == (start, number)
        });
        continued.unwrap_or(Coming {
            generation: Generation {
                start,
                number,
                draining: false,
                services: Vec::new(),
            },
            misfit: None,
        })
    }

    fn replace(&mut self, next: Generation) -> CatalogChange {
        let before = self.complete.as_ref();
        let was: HashSet<&OfferedService> = before.iter().flat_map(|b| &b.services).collect();
        let is: HashSet<&OfferedService> = next.services.iter().collect();
        let only = |services: &[OfferedService], other: &HashSet<&OfferedService>| {
            let only = services.iter().filter(|service| !other.contains(service));
            only.cloned().collect()
        };
        let change = CatalogChange {
            restarted: before.is_some_and(|before| before.start != next.start),
            added: only(&next.services, &was),
            removed: before.map_or_else(Vec::new, |before| only(&before.services, &is)),
            draining: next.draining,
        };
        self.complete = Some(next);
        change
    }
}

impl Coming {
    /// Adds the services of one part. What does not fit frees what was kept of the generation.
    fn add<'a>(
        &mut self,
        services: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Option<Misfit> {
        let kept = &mut self.generation.services;
        let mut misfit = None;
        for (name, instance) in services {
            if kept.len() == MAX_SERVICES {
                misfit = Some(Misfit::TooMany);
            } else if kept.iter().any(|service| *service.name == *name) {
                misfit = Some(Misfit::Repeated);
            }
            if misfit.is_some() {
                *kept = Vec::new();
                return misfit;
            }
            kept.push(OfferedService {
                name: name.into(),
                instance: instance.into(),
            });
        }
        None
    }
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
