//! Reads that bypass the cache, each of which ends.
//!
//! What a failed read means is the caller's to decide.

use http::HeaderMap;
use http::header::RETRY_AFTER;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use kube::core::response::StatusDetails;
use std::time::Duration;

/// Time to read one object.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No answer.
    #[error("no answer in time")]
    Timeout,
    /// The API server rejected the request, or could not be reached.
    #[error(transparent)]
    Api(Box<kube::Error>),
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

/// Ends a read that takes longer than this.
///
/// # Errors
/// When the read fails or does not end in time.
pub async fn within<T, E>(time: Duration, read: impl Future<Output = Result<T, E>>) -> Result<T, ReadError>
where
    ReadError: From<E>,
{
    Ok(tokio::time::timeout(time, read)
        .await
        .map_err(|_| ReadError::Timeout)??)
}

/// Sends a request and returns the body of the answer. The client's own methods would log a body that they cannot parse,
/// and what users put into templates must not get into logs.
///
/// # Errors
/// When the API server rejects the request, or the answer breaks off.
pub async fn send(client: &Client, request: http::Request<Vec<u8>>) -> Result<Vec<u8>, ReadError> {
    let answer = client.send(request.map(Body::from)).await?;
    let (head, body) = answer.into_parts();
    let body = body.collect_bytes().await?;
    if !(head.status.is_client_error() || head.status.is_server_error()) {
        return Ok(body.into());
    }
    let status = serde_json::from_slice(&body).unwrap_or_else(|_| {
        // A proxy answers in its own words.
        let text: String = String::from_utf8_lossy(&body).chars().take(PROXY_WORDS).collect();
        Status::failure(text.trim(), head.status.as_str()).with_code(head.status.as_u16())
    });
    Err(kube::Error::Api(with_retry_after(status, &head.headers).boxed()).into())
}

/// Characters kept of an answer that is not the API server's.
const PROXY_WORDS: usize = 200;

/// An overloaded API server says in a header, and nowhere else, how long to wait.
fn with_retry_after(mut status: Status, headers: &HeaderMap) -> Status {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    if let Some(seconds) = seconds.and_then(|seconds| seconds.parse::<u32>().ok()) {
        let details = status.details.get_or_insert_with(|| StatusDetails {
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
        });
        details.retry_after_seconds = details.retry_after_seconds.max(seconds);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_how_long_to_wait_where_the_answer_does_not() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, http::HeaderValue::from_static("32"))]);
        let status = Status::failure("too many requests", "TooManyRequests").with_code(429);
        let details = with_retry_after(status, &headers).details;
        assert_eq!(details.map(|details| details.retry_after_seconds), Some(32));
    }
}
