//! Reads that bypass the cache, each of which ends.
//!
//! What a failed read means is the caller's to decide.

use futures::AsyncReadExt as _;
use kube::Client;
use kube::core::Status;
use std::time::Duration;

/// Time for one live read.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No answer.
    #[error("no answer in time")]
    Timeout,
    /// The API server rejected the request, or could not be reached.
    #[error(transparent)]
    Api(Box<kube::Error>),
    /// The connection broke during the answer.
    #[error("the connection broke during the answer")]
    Broken(#[source] std::io::Error),
    /// The answer cannot be read.
    #[error("the answer cannot be read")]
    Malformed(#[from] serde_json::Error),
}

impl ReadError {
    /// What the API server answered, if it rejected the request.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Api(error) => match error.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            _ => None,
        }
    }
}

impl From<kube::Error> for ReadError {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

/// Ends a read that takes too long.
///
/// # Errors
/// When the read fails or does not end in time.
pub async fn within<T, E>(read: impl Future<Output = Result<T, E>>) -> Result<T, ReadError>
where
    ReadError: From<E>,
{
    Ok(tokio::time::timeout(TIMEOUT, read)
        .await
        .map_err(|_| ReadError::Timeout)??)
}

/// The body of the answer to a request. The client would log the whole of a body that it cannot read, and what users put
/// into templates must not get into logs.
///
/// # Errors
/// When the API server rejects the request, or the answer breaks off.
pub async fn body(client: &Client, request: http::Request<Vec<u8>>) -> Result<Vec<u8>, ReadError> {
    let mut stream = Box::pin(client.request_stream(request).await?);
    let mut body = Vec::new();
    stream.read_to_end(&mut body).await.map_err(ReadError::Broken)?;
    Ok(body)
}
