use http::HeaderMap;
use standardwebhooks::{Webhook, WebhookError};

/// `body` holds the bytes as they came; `secret` is "whsec_…".
pub fn verify(body: &[u8], headers: &HeaderMap, secret: &str) -> Result<(), WebhookError> {
    Webhook::new(secret)?.verify(body, headers)
}
