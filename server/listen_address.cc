#include "server/listen_address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace heed {
namespace {

// errno, or 0.
int TryToBind(const addrinfo& info) {
  const int descriptor = socket(info.ai_family, info.ai_socktype | SOCK_CLOEXEC, info.ai_protocol);
  if (descriptor < 0) return errno;
  const int on = 1;  // a port whose last connections have just been closed is free
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const int error = bind(descriptor, info.ai_addr, info.ai_addrlen) == 0 ? 0 : errno;
  close(descriptor);
  return error;
}

std::string ReasonOf(int error) {
  switch (error) {
    case EADDRINUSE:
      return "another process has this port";
    case EADDRNOTAVAIL:
      return "this machine has no such address";
    case EACCES:
      return "this user may not have this port";
    default:
      return std::strerror(error);
  }
}

}  // namespace

absl::Status CheckListenAddress(const std::string& address) {
  const auto fail = [&](absl::string_view reason) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address, ": ", reason, "; choose another with --listen"));
  };
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int unknown = getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found);
  if (unknown != 0) return fail(absl::StrCat("\"", host, "\": ", gai_strerror(unknown)));
  int error = 0;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    error = TryToBind(*info);
    if (error == 0) break;
  }
  freeaddrinfo(found);
  return error == 0 ? absl::OkStatus() : fail(ReasonOf(error));
}

}  // namespace heed
