//! Reads that bypass the caches, each with an end.
//!
//! What a failed read means is the caller's business.

use kube::Api;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

/// Time for one live read.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a live read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No answer.
    #[error("no answer in time")]
    Timeout,
    /// An answer, but not the object.
    #[error(transparent)]
    Api(Box<kube::Error>),
}

/// The object of that name as it is now; `None` when there is none.
pub async fn get<K>(api: &Api<K>, name: &str) -> Result<Option<K>, ReadError>
where
    K: Clone + DeserializeOwned + Debug,
{
    within(api.get_opt(name)).await
}

/// Gives a read its end.
pub async fn within<T>(read: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ReadError> {
    match tokio::time::timeout(TIMEOUT, read).await {
        Ok(result) => result.map_err(|error| ReadError::Api(Box::new(error))),
        Err(_) => Err(ReadError::Timeout),
    }
}
