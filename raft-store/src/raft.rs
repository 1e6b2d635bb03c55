//! openraft over our log, state and network.

use crate::state_machine::StateMachine;
use crate::types::TypeConfig;

/// openraft with the stores of this package.
pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;
