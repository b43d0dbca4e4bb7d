//! What of a call is there because of who makes it: the key is found, the rate, the month and the calls
//! under way are counted, usage is kept, three headers are written. The functions that do it in the
//! daemon, called in a loop here, in the rounds of the bench: what they cost, and not what is around them.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use mcpvisor::access::{KeyLimits, KeyRing, NewKey, NewKeySpec, Permissions, Plan, Principal, Tenancy};
use mcpvisor::http::read_and_tell;
use mcpvisor::store::MemoryStore;
use mcpvisor::usage::CallAccounting;

use crate::process::thread_cpu;

/// How many calls are counted between two looks at the clock.
const CALLS: u32 = 20_000;

/// Where calls pay.
pub(crate) struct AccountingRun {
    toll: CallAccounting,
    caller: Principal,
    token: String,
    request: HeaderMap,
}

impl AccountingRun {
    pub(crate) async fn new() -> Result<AccountingRun> {
        let mut plan = Plan::with_rate("bench", Some(1_000_000_000));
        plan.monthly_requests = Some(1_000_000_000_000);
        let mut tenancy = Tenancy::default();
        tenancy.organization.plan = Arc::new(plan);
        let keys = KeyRing::new(tenancy);
        let wish = NewKeySpec {
            name: "bench".to_owned(),
            description: None,
            member_id: Tenancy::default_owner().id,
            expires_at: None,
            permissions: Permissions::default(),
            limits: KeyLimits::default(),
        };
        let key = NewKey::generate(wish, 0).context("making a key")?;
        keys.replace([key.record]);
        let caller = keys.anybody();
        let toll = CallAccounting::new(keys, Arc::new(MemoryStore::default())).await?;
        let mut request = HeaderMap::new();
        request.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {}", key.text))?);
        Ok(AccountingRun { toll, caller, token: key.text, request })
    }

    /// CPU time for one call.
    pub(crate) async fn measure(&self) -> Result<Duration> {
        let before = thread_cpu()?;
        for _ in 0..CALLS {
            let reading =
                self.toll.admit_and_record(black_box(&self.token), "echo").await.context("not let in")?;
            let mut answer = HeaderMap::with_capacity(6);
            let found = read_and_tell(black_box(&self.request), &mut answer, &self.caller, &reading);
            ensure!(found == self.token.len() && answer.len() == 3, "the toll was not paid");
            black_box(answer);
        }
        Ok(thread_cpu()?.saturating_sub(before) / CALLS)
    }
}
