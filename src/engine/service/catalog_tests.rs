use proptest::prelude::*;

use super::*;

const FIRST: ProcessStart = ProcessStart([1; 8]);
const SECOND: ProcessStart = ProcessStart([2; 8]);

fn service(name: &str, instance: &str) -> OfferedService {
    OfferedService {
        name: name.into(),
        instance: instance.into(),
    }
}

fn generation(catalog: &Catalog) -> Option<u32> {
    catalog.complete.as_ref().map(|complete| complete.number)
}

/// The last part of a generation.
fn last<'a>(
    generation: u32,
    services: &'a [(&'a str, &'a str)],
) -> OfferPart<impl IntoIterator<Item = (&'a str, &'a str)>> {
    OfferPart {
        start: FIRST,
        generation,
        more: false,
        draining: false,
        services: services.iter().copied(),
    }
}

#[test]
fn parts_are_put_together_and_the_last_one_replaces_the_catalog() {
    let mut catalog = Catalog::new();
    assert_eq!((catalog.start(), generation(&catalog)), (None, None));
    let mut part = last(1, &[("orders", "a")]);
    part.more = true;
    assert_eq!(catalog.handle_part(part), CatalogStep::Incomplete);
    assert_eq!(catalog.services(), []);
    let step = catalog.handle_part(last(1, &[("inventory", "b")]));
    let both = vec![service("orders", "a"), service("inventory", "b")];
    let change = CatalogChange {
        added: both.clone(),
        ..CatalogChange::default()
    };
    assert_eq!(step, CatalogStep::Replaced(change));
    assert_eq!(catalog.services(), both);
    assert_eq!(
        (catalog.start(), generation(&catalog)),
        (Some(FIRST), Some(1))
    );
    assert_eq!(catalog.service_at(1, 1), Some(&both[1]));
    assert_eq!(catalog.service_at(1, 2), None);
    assert_eq!(catalog.service_at(2, 1), None);
}

#[test]
fn a_new_generation_says_what_has_changed_and_an_older_one_is_ignored() {
    let mut catalog = Catalog::new();
    catalog.handle_part(last(1, &[("orders", "a"), ("inventory", "a")]));
    let mut part = last(3, &[("inventory", "a"), ("payments", "a")]);
    part.draining = true;
    let change = CatalogChange {
        restarted: false,
        added: vec![service("payments", "a")],
        removed: vec![service("orders", "a")],
        draining: true,
    };
    assert_eq!(catalog.handle_part(part), CatalogStep::Replaced(change));
    assert!(catalog.is_draining());
    let older = catalog.handle_part(last(2, &[]));
    assert_eq!(older, CatalogStep::Ignored(Misfit::Older));
    assert_eq!(catalog.services().len(), 2);
}

#[test]
fn the_same_generation_again_changes_nothing() {
    let mut catalog = Catalog::new();
    catalog.handle_part(last(1, &[("orders", "a")]));
    let again = catalog.handle_part(last(1, &[("orders", "a")]));
    assert_eq!(again, CatalogStep::Replaced(CatalogChange::default()));
}

#[test]
fn another_start_is_a_new_process_whatever_its_generation() {
    let mut catalog = Catalog::new();
    catalog.handle_part(last(7, &[("orders", "a"), ("payments", "a")]));
    let mut part = last(1, &[("orders", "a")]);
    part.start = SECOND;
    let change = CatalogChange {
        restarted: true,
        removed: vec![service("payments", "a")],
        ..CatalogChange::default()
    };
    assert_eq!(catalog.handle_part(part), CatalogStep::Replaced(change));
    assert_eq!(
        (catalog.start(), generation(&catalog)),
        (Some(SECOND), Some(1))
    );
}

#[test]
fn an_instance_under_another_name_is_another_service() {
    let mut catalog = Catalog::new();
    catalog.handle_part(last(1, &[("orders", "a")]));
    let change = CatalogChange {
        added: vec![service("orders", "b")],
        removed: vec![service("orders", "a")],
        ..CatalogChange::default()
    };
    let step = catalog.handle_part(last(2, &[("orders", "b")]));
    assert_eq!(step, CatalogStep::Replaced(change));
}

#[test]
fn a_newer_generation_displaces_one_that_is_incomplete() {
    let mut catalog = Catalog::new();
    let mut part = last(1, &[("orders", "a")]);
    part.more = true;
    catalog.handle_part(part);
    catalog.handle_part(last(2, &[("payments", "a")]));
    assert_eq!(catalog.services(), [service("payments", "a")]);
    let rest = catalog.handle_part(last(1, &[("inventory", "a")]));
    assert_eq!(rest, CatalogStep::Ignored(Misfit::Older));
}

#[test]
fn an_offer_of_more_services_than_allowed_is_ignored_to_its_last_part() {
    let names: Vec<String> = (0..MAX_SERVICES).map(|n| n.to_string()).collect();
    let fits: Vec<_> = names.iter().map(|name| (name.as_str(), "a")).collect();
    let mut catalog = Catalog::new();
    let mut part = last(1, &fits);
    part.more = true;
    assert_eq!(catalog.handle_part(part), CatalogStep::Incomplete);
    let mut part = last(1, &[("one too many", "a")]);
    part.more = true;
    let ignored = CatalogStep::Ignored(Misfit::TooMany);
    assert_eq!(catalog.handle_part(part), ignored);
    assert_eq!(catalog.handle_part(last(1, &[("orders", "a")])), ignored);
    assert_eq!(catalog.services(), []);
    // The next one is judged for itself.
    catalog.handle_part(last(2, &fits));
    assert_eq!(catalog.services().len(), MAX_SERVICES);
}

#[test]
fn an_offer_that_names_a_service_twice_is_ignored() {
    let mut catalog = Catalog::new();
    let twice = catalog.handle_part(last(1, &[("orders", "a"), ("orders", "b")]));
    assert_eq!(twice, CatalogStep::Ignored(Misfit::Repeated));
    assert_eq!(catalog.services(), []);
}

/// Parts as a socket sends them: each generation whole, in order, of names that may repeat over generations.
fn generations() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let part = prop::collection::vec(0..12_u8, 0..4);
    let generation = prop::collection::vec(part, 1..4);
    prop::collection::vec(generation, 1..8)
}

proptest! {
    /// The model is the last generation that names nothing twice.
    #[test]
    fn the_catalog_is_the_last_generation_that_fits(generations in generations()) {
        let names: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        let mut catalog = Catalog::new();
        let mut model: Vec<OfferedService> = Vec::new();
        for (number, parts) in (1..).zip(&generations) {
            let flat: Vec<u8> = parts.concat();
            let distinct: HashSet<&u8> = flat.iter().collect();
            let fits = distinct.len() == flat.len();
            let mut step = CatalogStep::Incomplete;
            for (index, part) in parts.iter().enumerate() {
                let services: Vec<_> = part.iter().map(|n| (&*names[usize::from(*n)], "a")).collect();
                let mut part = last(number, &services);
                part.more = index + 1 < parts.len();
                step = catalog.handle_part(part);
            }
            let next: Vec<_> = flat.iter().map(|n| service(&names[usize::from(*n)], "a")).collect();
            if fits {
                let CatalogStep::Replaced(change) = step else {
                    panic!("{step:?}");
                };
                // What changed turns the one before into the next.
                let mut changed: HashSet<_> = model.iter().cloned().collect();
                for removed in &change.removed {
                    prop_assert!(changed.remove(removed));
                }
                for added in change.added {
                    prop_assert!(changed.insert(added));
                }
                prop_assert_eq!(changed, next.iter().cloned().collect());
                model = next;
            } else {
                prop_assert_eq!(step, CatalogStep::Ignored(Misfit::Repeated));
            }
            prop_assert_eq!(catalog.services(), &model);
        }
    }
}

#[test]
fn a_catalog_knows_what_it_takes_with_the_generation_that_comes() {
    let mut catalog = Catalog::new();
    assert_eq!(catalog.bytes(), 0);
    catalog.handle_part(last(1, &[("orders", "a")]));
    assert_eq!(catalog.bytes(), 64 + 7);
    let mut part = last(2, &[("orders", "a"), ("inventory", "b")]);
    part.more = true;
    catalog.handle_part(part);
    assert_eq!(catalog.bytes(), (64 + 7) + (64 + 7) + (64 + 10));
    catalog.handle_part(last(2, &[]));
    assert_eq!(catalog.bytes(), (64 + 7) + (64 + 10));
    catalog.handle_part(last(3, &[]));
    assert_eq!(catalog.bytes(), 0);
}
