//! The emulator as its clients see it: through its proxy, and directly.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod azure;
#[cfg(test)]
mod binding;
#[cfg(test)]
mod broken;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod entra;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod imds;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod listeners;
#[cfg(test)]
mod program;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod vault;
#[cfg(test)]
mod versions;
