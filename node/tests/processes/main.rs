//! Real processes: they agree, they come back from crashes, they obey, and what an operator gets wrong is named.
//! Whatever every replica said and did goes through the simulator's oracles in the end.

mod agreement;
mod api;
mod cluster;
mod crashes;
mod disks;
mod judge;
mod lab;
mod load;
mod partitions;
mod process;
mod usage;
