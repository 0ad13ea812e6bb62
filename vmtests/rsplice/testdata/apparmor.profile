# Profiles of TestSecurityModuleDenies: rsplice-all denies nothing, the others one
# thing each. Compiled by
#   apparmor_parser --skip-kernel-load --skip-cache --ofile apparmor apparmor.profile
# and gzip -9n.
abi <abi/3.0>,

profile rsplice-all {
  file,
  capability,
  signal,
  network,
  unix,
  change_profile,
}

profile rsplice-no-source {
  file,
  capability,
  signal,
  network,
  unix,
  deny /**/source r,
}

profile rsplice-no-device {
  file,
  capability,
  signal,
  network,
  unix,
  deny /dev/fuse w,
}
