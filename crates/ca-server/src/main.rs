//! The program `tpmssh-ca`.

fn main() -> std::process::ExitCode {
    ca_server::cmd::main()
}
