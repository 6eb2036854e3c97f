//! Layers over segments, through flushes and compactions, against one plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::store::embedded::EmbeddedSettings;
use crate::store::embedded::catalog::{Catalog, IndexUse};
use crate::store::embedded::files::Files;
use crate::store::embedded::manifest::ManifestFile;

/// The events of the layers' life.
#[derive(Debug, Clone)]
enum Event {
    Add(BTreeMap<u16, Option<u8>>),
    HandOver,
    Flush,
    Compact,
}

fn event() -> impl Strategy<Value = Event> {
    let value = proptest::option::weighted(0.7, any::<u8>());
    prop_oneof![
        4 => proptest::collection::btree_map(0..600_u16, value, 1..200).prop_map(Event::Add),
        2 => Just(Event::HandOver),
        2 => Just(Event::Flush),
        1 => Just(Event::Compact),
    ]
}

/// A row of one of four tables, one of which is looked up by its filter. Long values, so that a
/// segment has several blocks.
fn row(key: u16, value: Option<u8>) -> LayerRow {
    let table = b"CORX"[usize::from(key / 150)];
    let key = [&[table][..], &key.to_be_bytes()].concat();
    (key, value.map(|value| vec![value; usize::from(value) * 4]))
}

fn all(layers: &Layers, from: &[u8], to: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut pairs = Vec::new();
    let scanned = layers.scan(from, to, &mut |key, value| {
        // A visitor may read too.
        assert_eq!(layers.get(key)?.as_deref(), Some(value));
        pairs.push((key.to_vec(), value.to_vec()));
        Ok(Scan::On)
    });
    scanned.expect("rows that read");
    let mut back = Vec::new();
    let scanned = layers.scan_back(from, to, &mut |key, value| {
        back.push((key.to_vec(), value.to_vec()));
        Ok(Scan::On)
    });
    scanned.expect("rows that read");
    back.reverse();
    assert_eq!(back, pairs, "the same rows downwards");
    pairs
}

fn catalog(files: &Files) -> Catalog {
    let settings = EmbeddedSettings { cache_bytes: 1 << 20, ..EmbeddedSettings::default() };
    let known = ManifestFile::read(files).expect("it reads");
    let manifest = known.unwrap_or_else(|| ManifestFile::new(files));
    Catalog::open(files, manifest, &settings, IndexUse::AsFound).expect("whole segments")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn layers_over_segments_read_like_one_map(
        events in proptest::collection::vec(event(), 1..60),
        (from, to) in (0..600_u16, 0..600_u16),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Files::of(folder.path());
        let catalog_of = catalog(&files);
        let layers = catalog_of.layers();
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let (mut flushing, mut generation) = (None, 0);
        let (from, to) = (row(from, None).0, row(to, None).0);
        let of = |model: &BTreeMap<Vec<u8>, Vec<u8>>| -> Vec<_> {
            let within = model.iter().filter(|(key, _)| (&from..&to).contains(key));
            within.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        for event in events {
            match event {
                Event::Add(pairs) => {
                    let rows: Vec<_> =
                        pairs.into_iter().map(|(key, value)| row(key, value)).collect();
                    let writes = rows.iter().cloned().map(|(key, value)| (key.into(), value));
                    layers.add(writes.collect());
                    for (key, value) in rows {
                        match value {
                            Some(value) => drop(model.insert(key, value)),
                            None => drop(model.remove(&key)),
                        }
                    }
                }
                Event::HandOver if flushing.is_none() => flushing = Some(layers.hand_over()),
                Event::HandOver => {}
                Event::Flush => {
                    if let Some(layer) = flushing.take() {
                        generation += 1;
                        catalog_of.flush(&layer, generation).expect("it is written");
                    }
                }
                Event::Compact => catalog_of.compact_all().expect("it is written"),
            }
            prop_assert_eq!(all(layers, &from, &to), of(&model));
        }
        for key in 0..600 {
            let (key, _) = row(key, None);
            prop_assert_eq!(layers.get(&key).expect("it reads"), model.get(&key).cloned());
        }
        // Rows of segments are there after opening again, whatever has become of the index.
        if let Some(layer) = flushing.take() {
            catalog_of.flush(&layer, generation + 1).expect("it is written");
        }
        let layer = layers.hand_over();
        catalog_of.flush(&layer, generation + 2).expect("it is written");
        drop(layer);
        drop(catalog_of);
        let again = catalog(&files);
        prop_assert_eq!(all(again.layers(), &from, &to), of(&model));
        prop_assert_eq!(files_in(folder.path()), again.layers().segments().iter().count());
    }
}

fn files_in(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder.join("segments")).expect("the folder of segments").count()
}
