//! What is durable in the journal but not in the tree yet, laid over the tree.
//!
//! New rows go into the `recent` layer. When it is full it becomes the `merging` one, which the
//! merger copies into the tree; it covers the tree until all of it is there, so that a reader
//! never sees the copying. A row is read from the uppermost layer that knows its key.

use std::collections::btree_map;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::store::StoreError;
use crate::store::plan::Writes;
use crate::store::sorted::{Scan, SortedBytes, Visit};

use super::disk::failed;

/// How many keys a scan looks at under the lock. The visits happen outside of it: a visitor may
/// read again, and a writer waits for no visitor.
const CHUNK_KEYS: usize = 128;

#[derive(Default)]
struct LayerStack {
    recent: Writes,
    merging: Option<Arc<Writes>>,
}

pub(super) struct Layers {
    tree: ::sled::Tree,
    layered: RwLock<LayerStack>,
}

impl Layers {
    pub(super) fn over(tree: ::sled::Tree) -> Self {
        Self { tree, layered: RwLock::default() }
    }

    /// Adds a group to the recent rows, and says how many keys they have now. From here on it is
    /// read, so it must be durable (I-12).
    pub(super) fn add(&self, writes: Writes) -> usize {
        let mut layered = self.write();
        layered.recent.extend(writes);
        layered.recent.len()
    }

    /// Lets the recent rows be merged. The last ones must have.
    pub(super) fn hand_over(&self) -> Arc<Writes> {
        let mut layered = self.write();
        assert!(layered.merging.is_none(), "one layer is merged at a time");
        let merging = Arc::new(std::mem::take(&mut layered.recent));
        layered.merging = Some(Arc::clone(&merging));
        merging
    }

    /// What was handed over is in the tree, and durable there.
    pub(super) fn drop_merged(&self) {
        self.write().merging = None;
    }

    /// The next keys; fewer than [`CHUNK_KEYS`] are the last ones.
    fn chunk(&self, from: &Bound<Vec<u8>>, to: &[u8]) -> Result<Vec<LayerPair>, StoreError> {
        let from = from.as_ref().map(Vec::as_slice);
        let mut chunk = Vec::new();
        let (Bound::Included(first) | Bound::Excluded(first)) = from else { return Ok(chunk) };
        if first >= to {
            return Ok(chunk);
        }
        let range = (from, Bound::Excluded(to));
        let none = Writes::new();
        let layered = self.read();
        let merging = layered.merging.as_deref().unwrap_or(&none);
        let mut recent = layered.recent.range::<[u8], _>(range).peekable();
        let mut merging = merging.range::<[u8], _>(range).peekable();
        let mut tree = self.tree.range::<&[u8], _>(range).peekable();
        while chunk.len() < CHUNK_KEYS {
            let Some(next) = step(&mut recent, &mut merging, &mut tree)? else { break };
            chunk.push(next);
        }
        Ok(chunk)
    }

    /// Every holder leaves the layers whole, so a panic elsewhere does not matter here.
    fn read(&self) -> RwLockReadGuard<'_, LayerStack> {
        self.layered.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, LayerStack> {
        self.layered.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SortedBytes for Layers {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let layered = self.read();
        let merging = layered.merging.as_ref();
        let above = layered.recent.get(key).or_else(|| merging.and_then(|layer| layer.get(key)));
        if let Some(value) = above {
            return Ok(value.clone());
        }
        // A key leaves the layers only when it is in the tree.
        drop(layered);
        let value = self.tree.get(key).map_err(failed("cannot read"))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Shows the pairs of `from` (with it) to `to` (without it) in order.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let mut from = Bound::Included(from.to_vec());
        loop {
            let mut chunk = self.chunk(&from, to)?;
            for (key, value) in &chunk {
                if let Some(value) = value
                    && visit(key, value)? == Scan::Enough
                {
                    return Ok(());
                }
            }
            match chunk.pop() {
                Some((last, _)) if chunk.len() + 1 == CHUNK_KEYS => from = Bound::Excluded(last),
                Some(_) | None => return Ok(()),
            }
        }
    }
}

/// A key with its value, or with `None` where a layer removes it.
type LayerPair = (Vec<u8>, Option<Vec<u8>>);

type Layer<'a> = Peekable<btree_map::Range<'a, Vec<u8>, Option<Vec<u8>>>>;

/// The next key of all three, with the value of the uppermost that has it.
fn step(
    recent: &mut Layer<'_>,
    merging: &mut Layer<'_>,
    tree: &mut Peekable<::sled::Iter>,
) -> Result<Option<LayerPair>, StoreError> {
    // An error is taken out where it stands first, so that it is not passed over.
    if let Some(Err(error)) = tree.next_if(Result::is_err) {
        return Err(failed("cannot list")(error));
    }
    let below = tree.peek().and_then(|pair| pair.as_ref().ok()).map(|(key, _)| key.as_ref());
    let above = [recent.peek(), merging.peek()].map(|pair| pair.map(|(key, _)| key.as_slice()));
    let Some(key) = above.into_iter().chain([below]).flatten().min().map(<[u8]>::to_vec) else {
        return Ok(None);
    };
    let in_tree = tree.next_if(|pair| pair.as_ref().is_ok_and(|(found, _)| *found == key));
    let in_merging = merging.next_if(|(found, _)| **found == key);
    let in_recent = recent.next_if(|(found, _)| **found == key);
    let value = match (in_recent.or(in_merging), in_tree) {
        (Some((_, value)), _) => value.clone(),
        (None, Some(Ok((_, value)))) => Some(value.to_vec()),
        (None, Some(Err(_)) | None) => None,
    };
    Ok(Some((key, value)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What can happen to the layers.
    #[derive(Debug, Clone)]
    enum Event {
        Add(BTreeMap<u16, Option<u8>>),
        HandOver,
        Merge,
    }

    fn event() -> impl Strategy<Value = Event> {
        let value = proptest::option::weighted(0.7, any::<u8>());
        prop_oneof![
            4 => proptest::collection::btree_map(0..600_u16, value, 1..200).prop_map(Event::Add),
            1 => Just(Event::HandOver),
            1 => Just(Event::Merge),
        ]
    }

    fn bytes(key: u16, value: Option<u8>) -> (Vec<u8>, Option<Vec<u8>>) {
        (key.to_be_bytes().to_vec(), value.map(|value| vec![value]))
    }

    fn all(layers: &Layers, from: &[u8], to: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut pairs = Vec::new();
        let scanned = layers.scan(from, to, &mut |key, value| {
            // A visitor may read too.
            assert_eq!(layers.get(key)?.as_deref(), Some(value));
            pairs.push((key.to_vec(), value.to_vec()));
            Ok(Scan::On)
        });
        scanned.expect("a tree that reads");
        pairs
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn layers_over_a_tree_read_like_one_map(
            events in proptest::collection::vec(event(), 1..24),
            (from, to) in (0..700_u16, 0..700_u16),
        ) {
            let db = ::sled::Config::new().temporary(true).open().expect("a tree");
            let layers = Layers::over((*db).clone());
            let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            let mut merging = None;
            for event in events {
                match event {
                    Event::Add(pairs) => {
                        let writes: Writes =
                            pairs.into_iter().map(|(key, value)| bytes(key, value)).collect();
                        layers.add(writes.clone());
                        for (key, value) in writes {
                            match value {
                                Some(value) => drop(model.insert(key, value)),
                                None => drop(model.remove(&key)),
                            }
                        }
                    }
                    Event::HandOver if merging.is_none() => merging = Some(layers.hand_over()),
                    Event::HandOver => {}
                    Event::Merge => {
                        for (key, value) in merging.take().iter().flat_map(|layer| layer.iter()) {
                            match value {
                                Some(value) => db.insert(key, value.as_slice()),
                                None => db.remove(key),
                            }
                            .expect("it is written");
                        }
                        layers.drop_merged();
                    }
                }
                let (from, to) = (from.to_be_bytes(), to.to_be_bytes());
                let expected: Vec<_> = model
                    .iter()
                    .filter(|(key, _)| (&from[..]..&to[..]).contains(&key.as_slice()))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                prop_assert_eq!(all(&layers, &from, &to), expected);
            }
            prop_assert_eq!(layers.get(&700_u16.to_be_bytes()).expect("it reads"), None);
        }
    }
}
