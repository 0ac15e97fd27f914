//! What views are made from.

use std::sync::Arc;

use crate::supervisor::{Offer, ServerHandle};

/// One server with what it offers.
pub type Source = (ServerHandle, Arc<Offer>);
