//! The emulator as its clients see it: through its proxy, and directly.

#[cfg(test)]
mod azure;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod entra;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod listeners;
#[cfg(test)]
mod program;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod vault;
