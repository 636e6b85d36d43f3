//! The ids of dead letters, of which no two are the same, also over restarts.

use std::ops::ControlFlow;

use super::record::place_of;
use super::store::{Change, OutboxStore, Table};
use crate::error::StoreError;

/// The id of the next letter.
const NEXT_KEY: &[u8] = b"next letter";

/// Letters get ids from here on.
pub(super) fn continue_from(id: &[u8; 8]) -> Change<'_> {
    Change::Put {
        table: Table::Meta,
        key: NEXT_KEY,
        value: id,
    }
}

/// The first id that no letter of a store has ever had, as far as the store says so.
pub(super) fn first_free(store: &mut dyn OutboxStore) -> Result<u64, StoreError> {
    let mut first = 0;
    store.read(Table::Meta, NEXT_KEY, &mut |key, value| {
        if key == NEXT_KEY {
            first = place_of(value).unwrap_or(0);
        }
        ControlFlow::Break(())
    })?;
    Ok(first)
}
