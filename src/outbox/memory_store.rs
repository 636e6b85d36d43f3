//! A store that ends with its socket.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::store::{Change, OutboxStore, Table};
use crate::error::StoreError;

/// Keeps everything in memory.
#[derive(Debug, Default)]
pub(super) struct MemoryStore {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl OutboxStore for MemoryStore {
    fn commit(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        for change in changes {
            match *change {
                Change::Put { table, key, value } => {
                    let table = self.tables.entry(table).or_default();
                    table.insert(key.to_vec(), value.to_vec());
                }
                Change::Remove { table, key } => {
                    if let Some(table) = self.tables.get_mut(&table) {
                        table.remove(key);
                    }
                }
            }
        }
        Ok(())
    }

    fn read(
        &mut self,
        table: Table,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let entries = self.tables.get(&table);
        let entries = entries
            .into_iter()
            .flat_map(|table| table.range(from.to_vec()..));
        for (key, value) in entries {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
