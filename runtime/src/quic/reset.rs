//! A replica that was killed says no goodbye. When it is back, it answers what still comes for its old connections with
//! resets (RFC 9000, section 10.3), and whoever had them calls again at once instead of waiting until they are idle.

use super::tls::LARGEST_DATAGRAM;
use crate::signatures::Keys;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a connection's id. Random ones of this length never meet.
const ID_BYTES: usize = 16;

/// An endpoint that knows the resets of those before it: they come from the replica's key, and nobody else can make
/// them.
pub(super) fn endpoint(keys: &Keys) -> EndpointConfig {
    let secret = sign(&Key::new(HMAC_SHA256, keys.seed()), b"cretoai/v1 QUIC resets");
    let mut config = EndpointConfig::new(Arc::new(Key::new(HMAC_SHA256, secret.as_ref())));
    config.max_udp_payload_size(LARGEST_DATAGRAM).expect("above what QUIC demands");
    config.cid_generator(|| Box::new(RandomIds));
    config
}

/// Ids that say nothing, not even of which run they are: a reset is an answer to an id of another run.
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        aws_lc_rs::rand::fill(&mut id).expect("the operating system gives random bytes");
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
