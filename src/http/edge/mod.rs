//! Checks that every request passes before a route sees it, and every answer after. Names no dialect: it is given a
//! slice of them.

mod answer;
mod cors;
mod forwarded;
mod guard;
mod origin;
mod request_id;

pub use self::answer::ResponseFuture;
pub(in crate::http) use self::cors::options;
pub use self::guard::Guard;
#[cfg(any(test, fuzzing))]
pub(in crate::http) use self::origin::Checked;
pub(in crate::http) use self::origin::Policy;
