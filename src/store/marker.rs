//! The marker: a small file outside the database with the installation and the number of a change, so that a database
//! that opens empty, older or as another installation's is detected.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::files::{read_if_there, seal, unseal, write_private};
use super::records::MAX_SEQ;

/// Name of the file in the data directory.
pub(super) const FILE: &str = "marker";

/// Facts about the database that are known without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// Record of the installation, as JSON; `None` before there is one.
    pub(super) instance: Option<String>,
    /// Number of a change that the database had.
    pub(super) seq: u64,
}

impl Marker {
    pub(super) fn write(&self, data_dir: &Path) -> Result<(), StoreError> {
        let path = data_dir.join(FILE);
        let text = serde_json::to_string(self)
            .map_err(|error| StoreError::Unencodable { reason: error.to_string() })?;
        write_private(&path, seal(&text).as_bytes())
            .map_err(|error| StoreError::io("write the marker", &path, &error))
    }

    /// Reads the marker of a data directory; `None` if there is none. A damaged one is an error.
    pub(super) fn read(data_dir: &Path) -> Result<Option<Marker>, StoreError> {
        let path = data_dir.join(FILE);
        let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
        let text = bytes.strip_suffix(b"\n").and_then(unseal);
        let marker: Option<Marker> = text.and_then(|text| serde_json::from_str(text).ok());
        match marker.filter(|marker| marker.seq <= MAX_SEQ) {
            Some(marker) => Ok(Some(marker)),
            None => Err(StoreError::Corrupt {
                what: format!("the marker '{}'", path.display()),
                reason: "the checksum does not fit".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_marker_is_read_as_it_was_written_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Marker::read(dir.path()), Ok(None));
        let marker = Marker { instance: Some("{\"id\":\"x\"}".into()), seq: 7 };
        marker.write(dir.path()).unwrap();
        assert_eq!(Marker::read(dir.path()), Ok(Some(marker)));
        let path = dir.path().join(FILE);
        let good = fs::read(&path).unwrap();
        for bad in [&b""[..], &good[..9], &[0; 80]] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(Marker::read(dir.path()), Err(StoreError::Corrupt { .. })), "{bad:?}");
        }
    }
}
