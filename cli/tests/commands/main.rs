//! `aiomsg` as people and scripts start it: child processes, in a pipe and on a terminal, against each other and against the Python
//! package.

mod ask;
mod bench;
mod cert;
mod doctor;
mod echo;
mod help;
mod outbox;
mod peers;
mod ping;
mod publish;
mod refusals;
mod relay;
mod send;
mod serve;
mod services;
mod subscribe;
mod support;
mod tmux;
mod top;
mod walk;
