//! The CRI's messages and services, as `proto/runtime/v1/api.proto` names them.
#![allow(missing_docs, unreachable_pub, clippy::all)]

tonic::include_proto!("runtime.v1");
