#include "server/listen_address.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed {
namespace {

using testing::HasSubstr;

// A socket that listens on a free port of the loopback.
class Listener {
 public:
  Listener() : descriptor_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(descriptor_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(descriptor_, 1), 0);
    EXPECT_EQ(getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~Listener() { close(descriptor_); }
  int port() const { return port_; }

 private:
  const int descriptor_;
  int port_ = 0;
};

TEST(ListenAddressTest, SaysWhyNobodyCanListenThere) {
  EXPECT_TRUE(CheckListenAddress("127.0.0.1:0").ok());
  EXPECT_TRUE(CheckListenAddress("localhost:0").ok());
  const Listener listener;
  const std::string taken = absl::StrCat("127.0.0.1:", listener.port());
  const absl::Status status = CheckListenAddress(taken);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(),
            absl::StrCat("cannot listen on ", taken,
                         ": another process has this port; choose another with --listen"));
  // An address for examples (RFC 5737).
  EXPECT_THAT(std::string(CheckListenAddress("203.0.113.1:0").message()),
              HasSubstr("this machine has no such address"));
}

}  // namespace
}  // namespace heed
