//! Where the text of each channel's file comes from: a folder of this machine, or the versions that
//! all nodes of a store share.

use std::collections::BTreeMap;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use crate::channel::file::whole::WholeFile;
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::raw::Document;
use crate::domain::ids::ChannelId;

/// The most channel files that a folder may have.
const CHANNELS_MAX: usize = 1_000;

/// The texts of the channels' files.
pub type ChannelTexts = BTreeMap<ChannelId, String>;

/// The whole text of one channel's file.
pub(super) struct ChannelText {
    pub id: ChannelId,
    pub text: String,
    pub document: Document,
}

/// The channel files of a folder, by name; there is one at least. `routes_file` is passed over.
pub(super) fn read_folder(
    folder: &Path,
    routes_file: &Path,
    mistakes: &Mistakes,
) -> Vec<ChannelText> {
    let mut texts = Vec::new();
    for path in files(folder, routes_file, mistakes) {
        let name = path.display().to_string();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let id = match ChannelId::parse(stem) {
            Ok(id) => id,
            Err(error) => {
                let problem = format!("the file's name is not a channel id: {error}");
                mistakes.add(Mistake::new(&name, 0, "", &problem, "rename the file"));
                continue;
            }
        };
        match WholeFile::read(&path) {
            Ok(WholeFile { text, document, .. }) => texts.push(ChannelText { id, text, document }),
            Err(found) => mistakes.extend(found),
        }
    }
    texts
}

fn files(folder: &Path, routes_file: &Path, mistakes: &Mistakes) -> Vec<PathBuf> {
    let name = folder.display().to_string();
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect);
    let entries: Vec<DirEntry> = match entries {
        Ok(entries) => entries,
        Err(error) => {
            let problem = format!("the folder of channel files cannot be read: {error}");
            let advice = "check channels.folder in the settings, and the folder's rights";
            mistakes.add(Mistake::new(&name, 0, "", &problem, advice));
            return Vec::new();
        }
    };
    let is_channel = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ending == "toml") && *path != routes_file
    };
    let paths = entries.into_iter().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths.filter(is_channel).collect();
    paths.sort();
    if paths.is_empty() {
        let problem = "has no channel file, so no payment could be sent";
        let advice = "put one file for each channel there, or check channels.folder";
        mistakes.add(Mistake::new(&name, 0, "", problem, advice));
    }
    if paths.len() > CHANNELS_MAX {
        let problem = format!("holds more than {CHANNELS_MAX} channel files");
        mistakes.add(Mistake::new(&name, 0, "", &problem, "move the closed ones elsewhere"));
        paths.truncate(CHANNELS_MAX);
    }
    paths
}

/// The texts of shared versions, each under the name that its file would have.
pub(super) fn of_versions(texts: &ChannelTexts, mistakes: &Mistakes) -> Vec<ChannelText> {
    let mut found = Vec::with_capacity(texts.len());
    for (id, text) in texts {
        match Document::parse(&format!("{id}.toml"), text) {
            Ok(document) => {
                found.push(ChannelText { id: id.clone(), text: text.clone(), document });
            }
            Err(wrong) => mistakes.extend(wrong),
        }
    }
    found
}
