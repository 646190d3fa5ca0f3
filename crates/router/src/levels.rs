//! Topic levels, each text stored once and counted.
//!
//! "temperature" below a million devices is one text and a million ids of four bytes, and comparing
//! levels is comparing ids. A text lives exactly as long as somebody counts on it: `acquire` and
//! `release` come in pairs, one pair for each node of the tree that has the level. Texts of up to 18
//! bytes, which is nearly all of them, are stored in place.

use alloc::boxed::Box;

use hashbrown::HashTable;

use crate::arena::{Arena, NONE};
use crate::hashing::Hashing;

const SHORT_BYTES: usize = 18;

pub(crate) struct Levels {
    table: HashTable<u32>,
    levels: Arena<Level>,
}

impl Levels {
    pub(crate) const fn new() -> Self {
        Self {
            table: HashTable::new(),
            levels: Arena::new(),
        }
    }

    /// The id of a text that somebody holds, or [`NONE`].
    pub(crate) fn find(&self, text: &[u8], hashing: &Hashing) -> u32 {
        let found = self
            .table
            .find(hashing.of_text(text), |&id| self.text(id) == Some(text));
        found.copied().unwrap_or(NONE)
    }

    /// The id of a text, which is held once more from now on.
    pub(crate) fn acquire(&mut self, text: &[u8], hashing: &Hashing) -> u32 {
        let known = self.find(text, hashing);
        if let Some(level) = self.levels.get_mut(known) {
            *level.holders() += 1;
            return known;
        }
        let id = self.levels.insert(Level::new(text));
        let levels = &self.levels;
        let hash_of = |&id: &u32| hashing.of_text(levels.get(id).map_or(&[], Level::text));
        self.table.insert_unique(hashing.of_text(text), id, hash_of);
        id
    }

    /// Ends one hold. With the last one the text is freed.
    pub(crate) fn release(&mut self, id: u32, hashing: &Hashing) {
        let Some(level) = self.levels.get_mut(id) else {
            return;
        };
        *level.holders() -= 1;
        if *level.holders() > 0 {
            return;
        }
        let hash = hashing.of_text(level.text());
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
        self.levels.remove(id);
        let levels = &self.levels;
        let hash_of = |&id: &u32| hashing.of_text(levels.get(id).map_or(&[], Level::text));
        crate::hashing::shrink(&mut self.table, hash_of);
    }

    /// Distinct texts held.
    pub(crate) fn len(&self) -> usize {
        self.levels.len()
    }

    /// The text that somebody holds.
    pub(crate) fn text(&self, id: u32) -> Option<&[u8]> {
        self.levels.get(id).map(Level::text)
    }
}

/// A text and the number of its holders, laid out so that both fit into 24 bytes.
enum Level {
    Short {
        holders: u32,
        len: u8,
        bytes: [u8; SHORT_BYTES],
    },
    Long {
        holders: u32,
        text: Box<[u8]>,
    },
}

impl Level {
    fn new(text: &[u8]) -> Self {
        let mut bytes = [0; SHORT_BYTES];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(text);
                Self::Short {
                    holders: 1,
                    len,
                    bytes,
                }
            }
            _ => Self::Long {
                holders: 1,
                text: text.into(),
            },
        }
    }

    fn holders(&mut self) -> &mut u32 {
        match self {
            Self::Short { holders, .. } | Self::Long { holders, .. } => holders,
        }
    }

    fn text(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes, .. } => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Self::Long { text, .. } => text,
        }
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::Short {
            holders: 0,
            len: 0,
            bytes: [0; SHORT_BYTES],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_stored_once_and_freed_with_its_last_holder() {
        let (mut levels, hashing) = (Levels::new(), Hashing::new(1));
        let first = levels.acquire(b"sport", &hashing);
        assert_eq!(levels.acquire(b"sport", &hashing), first);
        levels.release(first, &hashing);
        assert_eq!(levels.find(b"sport", &hashing), first);
        levels.release(first, &hashing);
        assert_eq!(levels.find(b"sport", &hashing), NONE);
        assert_eq!(levels.len(), 0);
    }

    #[test]
    fn texts_of_any_length_are_told_apart() {
        let (mut levels, hashing) = (Levels::new(), Hashing::new(1));
        let texts: alloc::vec::Vec<_> = (0..300).map(|len| alloc::vec![b'x'; len]).collect();
        let ids: alloc::vec::Vec<_> = texts
            .iter()
            .map(|text| levels.acquire(text, &hashing))
            .collect();
        for (text, id) in texts.iter().zip(ids) {
            assert_eq!(levels.find(text, &hashing), id);
            assert_eq!(levels.text(id), Some(&text[..]));
        }
    }

    #[test]
    fn a_level_takes_24_bytes() {
        assert_eq!(size_of::<Level>(), 24);
    }
}
