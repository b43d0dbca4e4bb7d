//! The audit as administrators may read it: by pages, and as an export on its way to the caller. Of an export little
//! is read ahead: the next piece waits until the previous one is taken.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::standing::{administers, refused, require};
use super::{AuditQuery, Error, Gateway, Principal};
use crate::access::Right;
use crate::audit::{self, Export, Piece};

/// Number of pieces that wait to be taken. One more is read meanwhile.
const WAITING: usize = 1;

/// Export of the audit.
pub enum AuditExport {
    /// Complete export, if it fits in one piece.
    Whole(Bytes),
    /// Export that comes piece by piece.
    Pieces(AuditPieces),
}

/// Pieces of an export. An export that ends without its last piece is truncated.
pub struct AuditPieces {
    pieces: mpsc::Receiver<Piece>,
    caller: Principal,
    is_over: bool,
}

impl Gateway {
    /// Returns a page of the audit, newest first, each entry as its line of JSON, and the number of all matches.
    pub async fn audit_page(
        &self,
        caller: &Principal,
        query: AuditQuery,
        skip: u64,
        take: u64,
    ) -> Result<(u64, Vec<String>), Error> {
        require(caller, Right::Administer)?;
        self.while_administers(caller, self.0.audit.page(query, skip, take)).await
    }

    async fn while_administers<T>(
        &self,
        caller: &Principal,
        work: impl Future<Output = Result<T, audit::Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            error = refused(caller, administers) => Err(error),
            done = work => Ok(done?),
        }
    }

    /// Exports the whole audit, oldest first, as lines of JSON. Fails here if the audit cannot be read at all.
    pub async fn audit_export(&self, caller: &Principal, query: AuditQuery) -> Result<AuditExport, Error> {
        require(caller, Right::Administer)?;
        let begin = async { self.0.audit.export(query).await?.next().await };
        let (export, first) = self.while_administers(caller, begin).await?;
        if first.is_last {
            return Ok(AuditExport::Whole(first.bytes));
        }
        Ok(AuditExport::Pieces(AuditPieces::begin(export, first, caller.clone())))
    }
}

impl AuditPieces {
    fn begin(export: Export, first: Piece, caller: Principal) -> AuditPieces {
        let (sender, pieces) = mpsc::channel(WAITING);
        tokio::spawn(feed(export, first, caller.clone(), sender));
        AuditPieces { pieces, caller, is_over: false }
    }

    /// Returns the next piece while the caller may administer; `None` after the end. An error ends the export.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let next = match require(&self.caller, Right::Administer) {
            Ok(()) => ready!(self.pieces.poll_recv(cx)),
            Err(error) => {
                self.is_over = true;
                return Poll::Ready(Some(Err(error)));
            }
        };
        // The reason for a missing piece is logged where it occurs.
        let cut = || Error::Internal { reason: "the export of the audit was cut".to_owned() };
        self.is_over = next.as_ref().is_none_or(|piece| piece.is_last);
        Poll::Ready(Some(next.map(|piece| piece.bytes).ok_or_else(cut)))
    }
}

/// Sends piece after piece until the last one, or until the caller has left or loses the right to read them.
async fn feed(export: Export, first: Piece, caller: Principal, pieces: mpsc::Sender<Piece>) {
    tokio::select! {
        biased;
        error = refused(&caller, administers) => tracing::info!(%error, "an export of the audit was cut"),
        () = pieces.closed() => {}
        fed = hand_over(export, first, &pieces) => if let Err(error) = fed {
            tracing::error!(%error, "an export of the audit was cut");
        },
    }
}

async fn hand_over(mut export: Export, first: Piece, pieces: &mpsc::Sender<Piece>) -> Result<(), Error> {
    let mut piece = first;
    loop {
        let is_last = piece.is_last;
        if pieces.send(piece).await.is_err() || is_last {
            return Ok(());
        }
        (export, piece) = export.next().await?;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::access::{AccessError, KeyRecord, KeyRing, NewKey, NewKeySpec, Permissions};
    use crate::gateway::AuditHandle;

    /// Number of lines, in two segments.
    const LINES: usize = 4_000;

    /// Writes an audit of some megabytes. Returns the path of its second segment.
    fn write(directory: &Path) -> PathBuf {
        let line = |n: usize| {
            let filler = "x".repeat(500);
            format!("{{\"number\":{n},\"action\":\"a\",\"target\":\"{filler}\",\"outcome\":\"done\"}}\n")
        };
        let (first, second) = (LINES / 2 + 1, directory.join(format!("{:020}-acts.jsonl", LINES / 2 + 1)));
        let text = |lines: std::ops::Range<usize>| lines.map(line).collect::<String>();
        std::fs::write(directory.join(format!("{:020}-acts.jsonl", 1)), text(1..first)).expect("written");
        std::fs::write(&second, text(first..LINES + 1)).expect("written");
        second
    }

    /// Returns a caller that may administer.
    fn admin() -> (KeyRing, KeyRecord, Principal) {
        let wish = NewKeySpec {
            limits: crate::access::KeyLimits::default(),
            name: "k".to_owned(),
            description: None,
            member_id: "user_owner".into(),
            expires_at: None,
            permissions: Permissions::default(),
        };
        let (ring, made) = (KeyRing::default(), NewKey::generate(wish, 0).expect("random bytes"));
        ring.put([made.record.clone()]);
        let caller = ring.authenticate(&made.text, 1).expect("good");
        (ring, made.record, caller)
    }

    /// Begins an export. Returns it and the counter of the pieces read.
    async fn begun(directory: &Path, caller: Principal) -> (AuditPieces, Arc<AtomicUsize>) {
        let audit = AuditHandle::below(directory);
        let export = audit.export(AuditQuery::default()).await.expect("listed");
        let read = export.pieces.clone();
        let (export, first) = export.next().await.expect("readable");
        assert!(!first.is_last);
        (AuditPieces::begin(export, first, caller), read)
    }

    async fn next(pieces: &mut AuditPieces) -> Option<Result<Bytes, Error>> {
        poll_fn(|cx| pieces.poll_next(cx)).await
    }

    /// Lets all tasks run until they wait for someone to take a piece.
    async fn at_rest() {
        for _ in 0..50 {
            tokio::task::spawn_blocking(|| ()).await.expect("no panic");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn however_long_it_is_no_more_is_read_ahead_than_two_pieces() {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path());
        let (_ring, _, caller) = admin();
        let (mut pieces, read) = begun(directory.path(), caller).await;
        let (mut text, mut taken) = (String::new(), 0);
        loop {
            at_rest().await;
            let ahead = read.load(Ordering::SeqCst) - taken;
            assert!(ahead <= WAITING + 1, "{ahead} pieces after {taken}");
            let Some(piece) = next(&mut pieces).await else { break };
            let piece = piece.expect("whole");
            assert!(piece.len() < 80 * 1024, "{}", piece.len());
            text.push_str(std::str::from_utf8(&piece).expect("whole lines"));
            taken += 1;
        }
        assert!(taken > 20, "{taken}");
        let numbers = text.lines().map(|line| line.split([':', ',']).nth(1).and_then(|n| n.parse().ok()));
        let numbers: Vec<usize> = numbers.flatten().collect();
        assert_eq!(numbers, (1..=LINES).collect::<Vec<_>>());
        assert!(text.ends_with(&format!("{{\"end\":true,\"entries\":{LINES}}}\n")));
    }

    #[tokio::test]
    async fn whoever_was_revoked_meanwhile_gets_no_further_piece() {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path());
        let (ring, record, caller) = admin();
        let (mut pieces, read) = begun(directory.path(), caller).await;
        next(&mut pieces).await.expect("a piece").expect("accepted");
        at_rest().await;
        ring.put([KeyRecord { revoked_at: Some(1), ..record }]);
        at_rest().await;
        // Pieces that were read before are withheld, too.
        assert!(matches!(next(&mut pieces).await, Some(Err(Error::Access(AccessError::KeyRevoked)))));
        assert!(next(&mut pieces).await.is_none());
        assert!(read.load(Ordering::SeqCst) <= 3, "and nothing more is read for it than what was under way");
    }

    #[tokio::test]
    async fn what_cannot_be_read_in_the_middle_is_no_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let second = write(directory.path());
        let (_ring, _, caller) = admin();
        let (mut pieces, _) = begun(directory.path(), caller).await;
        std::fs::remove_file(&second).expect("there");
        std::fs::create_dir(&second).expect("nothing that can be read");
        let mut text = String::new();
        let error = loop {
            match next(&mut pieces).await.expect("no end") {
                Ok(piece) => text.push_str(std::str::from_utf8(&piece).expect("whole lines")),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Internal { .. }), "{error:?}");
        assert!(!text.contains("\"end\""), "{text}");
    }

    #[tokio::test]
    async fn what_a_disk_has_damaged_is_left_out_and_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        let second = write(directory.path());
        let mut text = std::fs::read(&second).expect("written");
        text[100..700].fill(0xff);
        std::fs::write(second, text).expect("damaged");
        let audit = AuditHandle::below(directory.path());
        let text =
            audit.export(AuditQuery::default()).await.expect("listed").whole().await.expect("readable");
        assert!(
            text.ends_with(&format!("{{\"end\":true,\"entries\":{},\"damaged\":1}}\n", LINES - 2)),
            "{}",
            &text[text.len() - 90..]
        );
        assert!(!text.contains('\u{fffd}'));
    }

    #[tokio::test]
    async fn nothing_is_read_for_whoever_has_left() {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path());
        let (_ring, _, caller) = admin();
        let (pieces, read) = begun(directory.path(), caller).await;
        drop(pieces);
        at_rest().await;
        let after = read.load(Ordering::SeqCst);
        assert!(after <= 2, "{after}");
        at_rest().await;
        assert_eq!(read.load(Ordering::SeqCst), after);
    }
}
