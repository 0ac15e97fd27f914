//! Questions to the task that owns a file.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::fault::Unavailable;
use super::layout::Layout;

/// Where the owner of a file puts its answer.
pub type Reply<T> = oneshot::Sender<Result<T, Unavailable>>;

/// Puts a question to the owner of a file of this layout. Room in its queue and the answer together take `patience` at most.
///
/// # Errors
/// What the owner answers; or that it has been shut down, or gave no answer in time.
pub async fn ask<Q, T>(
    owner: &mpsc::Sender<Q>,
    question: impl FnOnce(Reply<T>) -> Q,
    layout: &Layout,
    patience: Duration,
) -> Result<T, Unavailable> {
    let unavailable = |reason| Unavailable { name: layout.name, reason };
    let (reply, answer) = oneshot::channel();
    let exchange = async {
        let closed = || unavailable("it has been shut down".to_owned());
        owner.send(question(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    };
    let late = |_| unavailable(format!("the disk gave no answer within {patience:?}"));
    timeout(patience, exchange).await.map_err(late)?
}
