//! The format of a stored value: one byte for the format version, then JSON. And the format of the whole store, kept
//! under `m/schema`, so that an older program refuses data that it would misread.

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{Op, Store, StoreError};

/// Format version of a value: its first byte.
pub const RECORD_VERSION: u8 = 1;

/// Format version of the whole store: its keys and their meaning. Since 2 a journal and backups stand beside it; a
/// program that does not write them must not change it.
pub const SCHEMA_VERSION: u32 = 2;
/// Oldest version that is supported. Only the number has to be changed in it.
const OLDEST_SCHEMA: u32 = 1;

pub(super) const SCHEMA_KEY: &[u8] = b"m/schema";
/// Highest number a change can have; a higher one in a file is damage, and counting could not continue from it.
pub(super) const MAX_SEQ: u64 = u64::MAX >> 2;
/// Key of the number of the last change that went through the journal.
pub(super) const SEQ_KEY: &[u8] = b"m/seq";
/// Key of the installation's record; its owner reads it, here it is only compared.
pub(super) const INSTANCE_KEY: &[u8] = b"m/instance";

/// Encodes a value for the store. Fails only for values that JSON cannot hold, such as a map whose keys are not
/// strings.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![RECORD_VERSION];
    serde_json::to_writer(&mut bytes, value)
        .map_err(|error| StoreError::Unencodable { reason: error.to_string() })?;
    Ok(bytes)
}

/// Decodes a stored value; the key is for the error's text only.
pub fn decode<T: DeserializeOwned>(key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
    let corrupt = |reason: String| StoreError::Corrupt { what: what(key), reason };
    match bytes.split_first() {
        None => Err(corrupt("it is empty".to_owned())),
        Some((&RECORD_VERSION, json)) => {
            serde_json::from_slice(json).map_err(|error| corrupt(without_content(&error)))
        }
        Some((&found, _)) if found > RECORD_VERSION => Err(StoreError::NewerSchema {
            what: what(key),
            found: found.into(),
            known: RECORD_VERSION.into(),
        }),
        Some((&found, _)) => Err(corrupt(format!("it has format {found}, which never was"))),
    }
}

/// Checks that a record can be read, whatever its content.
pub(super) fn verify(key: &[u8], bytes: &[u8]) -> Result<(), StoreError> {
    decode::<IgnoredAny>(key, bytes).map(drop)
}

/// Writes the schema's version into an empty store and into an older one; refuses a newer one, and a store that has
/// records but no version.
pub(super) fn check_schema(store: &dyn Store) -> Result<(), StoreError> {
    match read_schema(store)? {
        Some(SCHEMA_VERSION) => Ok(()),
        Some(_) | None => write_schema(store),
    }
}

/// Returns the schema's version, if it is supported here; `None` in an empty store.
pub(super) fn read_schema(store: &dyn Store) -> Result<Option<u32>, StoreError> {
    let what = || "the store".to_owned();
    let Some(bytes) = store.get(SCHEMA_KEY)? else {
        if !store.scan_prefix(b"")?.is_empty() {
            let reason = "it holds records but no schema version".to_owned();
            return Err(StoreError::Corrupt { what: what(), reason });
        }
        return Ok(None);
    };
    match decode::<u32>(SCHEMA_KEY, &bytes)? {
        found @ OLDEST_SCHEMA..=SCHEMA_VERSION => Ok(Some(found)),
        found if found > SCHEMA_VERSION => {
            Err(StoreError::NewerSchema { what: what(), found, known: SCHEMA_VERSION })
        }
        found => {
            let reason = format!("it has schema version {found}, which never was");
            Err(StoreError::Corrupt { what: what(), reason })
        }
    }
}

fn write_schema(store: &dyn Store) -> Result<(), StoreError> {
    store.apply(vec![Op::Put { key: SCHEMA_KEY.to_vec(), value: encode(&SCHEMA_VERSION)? }])?;
    store.flush()
}

/// Returns the number of the last change; 0 in a store that has never had one.
pub(super) fn read_seq(store: &dyn Store) -> Result<u64, StoreError> {
    store.get(SEQ_KEY)?.map_or(Ok(0), |value| decode(SEQ_KEY, &value))
}

/// Returns the change that sets the number of the last change.
pub(super) fn put_seq(seq: u64) -> Result<Op, StoreError> {
    Ok(Op::Put { key: SEQ_KEY.to_vec(), value: encode(&seq)? })
}

/// Returns the record of the installation, as JSON; `None` before the first start has completed.
pub(super) fn read_instance(store: &dyn Store) -> Result<Option<String>, StoreError> {
    let value = store.get(INSTANCE_KEY)?;
    let value: Option<Box<serde_json::value::RawValue>> =
        value.map(|value| decode(INSTANCE_KEY, &value)).transpose()?;
    Ok(value.map(|value| value.get().to_owned()))
}

fn what(key: &[u8]) -> String {
    format!("record '{}'", String::from_utf8_lossy(key).escape_debug())
}

/// Describes an error by its kind and column only: serde's message may quote a value, and values may be secrets.
fn without_content(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "unexpected JSON",
        serde_json::error::Category::Eof => "JSON that is cut short",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "text that is not JSON",
    };
    format!("{kind} at column {}", error.column())
}

#[cfg(test)]
mod tests {
    use super::super::MemoryStore;
    use super::*;
    use proptest::prelude::*;

    fn put(store: &MemoryStore, key: &[u8], value: Vec<u8>) {
        store.apply(vec![Op::Put { key: key.to_vec(), value }]).expect("memory takes everything");
    }

    #[test]
    fn a_newer_record_is_refused_and_not_called_damaged() {
        let error = decode::<u32>(b"s/1", b"\x029").expect_err("format 2 is not known");
        assert_eq!(error, StoreError::NewerSchema { what: "record 's/1'".into(), found: 2, known: 1 });
    }

    #[test]
    fn damaged_records_name_the_key_and_never_the_content() {
        for bytes in [&b""[..], b"\x00{}", b"\x01", b"\x01{\"secret", b"\x01\"secret\"", b"\x01\xff"] {
            let error = decode::<u32>(b"k/\x01", bytes).expect_err("damaged").to_string();
            assert!(error.starts_with("record 'k/\\u{1}' is damaged: "), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_schema_is_written_once_and_a_newer_one_refused() {
        let store = MemoryStore::default();
        check_schema(&store).expect("a new store");
        check_schema(&store).expect("the same again");
        put(&store, SCHEMA_KEY, encode(&(SCHEMA_VERSION + 1)).unwrap());
        let error = check_schema(&store).expect_err("newer");
        assert_eq!(error, StoreError::NewerSchema { what: "the store".into(), found: 3, known: 2 });
        put(&store, SCHEMA_KEY, encode(&0u32).unwrap());
        assert!(matches!(check_schema(&store), Err(StoreError::Corrupt { .. })));
    }

    #[test]
    fn an_older_schema_is_brought_up_to_date() {
        let store = MemoryStore::default();
        put(&store, SCHEMA_KEY, encode(&1u32).unwrap());
        put(&store, b"s/1", encode("x").unwrap());
        check_schema(&store).expect("understood");
        assert_eq!(store.get(SCHEMA_KEY).unwrap(), Some(encode(&SCHEMA_VERSION).unwrap()));
        assert_eq!(store.get(b"s/1").unwrap(), Some(encode("x").unwrap()));
    }

    #[test]
    fn an_older_schema_is_as_it_was_or_up_to_date_whichever_operation_fails() {
        for n in 1.. {
            let inner = std::sync::Arc::new(MemoryStore::default());
            put(&inner, SCHEMA_KEY, encode(&1u32).unwrap());
            put(&inner, b"s/1", encode("x").unwrap());
            let fault = crate::store::fault::Fault::at(n, false);
            let store = crate::store::fault::FaultStore { inner: inner.clone(), fault: fault.clone() };
            let failed = check_schema(&store).is_err();
            assert!(matches!(read_schema(&*inner), Ok(Some(1 | SCHEMA_VERSION))), "operation {n}");
            check_schema(&*inner).expect("the next start finishes it");
            assert_eq!(inner.scan_prefix(b"s/").unwrap().len(), 1);
            if !failed {
                assert!(n > 2, "there were operations");
                return;
            }
        }
    }

    #[test]
    fn records_without_a_schema_are_not_taken_for_a_new_store() {
        let store = MemoryStore::default();
        put(&store, b"s/1", encode("x").unwrap());
        assert!(matches!(check_schema(&store), Err(StoreError::Corrupt { .. })));
    }

    #[test]
    fn what_json_cannot_hold_is_an_error() {
        let map = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(encode(&map), Err(StoreError::Unencodable { .. })));
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(text in ".*", number: i64) {
            let bytes = encode(&(&text, number)).unwrap();
            prop_assert_eq!(decode::<(String, i64)>(b"s/x", &bytes).unwrap(), (text, number));
        }

        #[test]
        fn decoding_never_panics(bytes: Vec<u8>) {
            let _ = decode::<serde_json::Value>(b"s/x", &bytes);
        }
    }
}
