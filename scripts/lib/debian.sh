# Sourced by what takes packages of other Debian releases than this machine's.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The mirror that this machine itself uses.
mirror() {
  local query=(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages')
  [ -n "$("${query[@]}")" ] || apt-get update -qq
  "${query[@]}" | sed -n 1p
}

# An apt of our own, so that other suites never reach this machine's lists: apt_of SUITE COMMAND...
# Its packages are those of $apt_processor, or of $processor, or of this machine.
apt_of() {
  local architecture=${apt_processor:-${processor:-$(dpkg --print-architecture)}}
  local apt=$work/apt-$1${apt_processor:+-$apt_processor}
  if [ ! -d "$apt" ]; then
    mkdir -p "$apt"/{lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d,etc/trusted.gpg.d}
    : > "$apt/status"
    echo "deb [signed-by=$keyring] $(mirror) $1 main" > "$apt/etc/sources.list"
    apt_of "$1" apt-get update -qq
  fi
  "$2" -o "Dir::Etc=$apt/etc" -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" \
    -o "Dir::State::status=$apt/status" -o "APT::Architecture=$architecture" -o Acquire::Languages=none -o APT::Sandbox::User=root "${@:3}"
}
