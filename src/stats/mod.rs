//! Pure numbers in, numbers out: divergences, ECDF distances, intervals, fairness and performance
//! from counts. No Arrow, no clock, no randomness; every formula names its source.
pub mod fairness { #[derive(Clone,Copy,Debug,PartialEq)] pub struct Rate{pub k:u64,pub n:u64} }
pub mod performance { #[derive(Clone,Copy,Debug)] pub struct Confusion{pub tp:u64,pub fp:u64,pub tn:u64,pub fn_:u64} #[derive(Clone,Copy,Debug)] pub struct CalibrationBin{pub n:u64,pub positives:u64,pub score_sum:f64} }
pub mod quantile { pub fn linear(s:&[f64],q:f64)->Option<f64>{ if s.is_empty(){return None} let h=(s.len()-1) as f64*q; let i=h.floor() as usize; let f=h-h.floor(); let a=s[i]; let b=*s.get(i+1).unwrap_or(&a); Some(a+(b-a)*f) } }
