// A client of the server of canned answers.
#ifndef HEED_TESTS_CLIENT_CONNECT_TO_H_
#define HEED_TESTS_CLIENT_CONNECT_TO_H_

#include <memory>
#include <utility>

#include "client/client.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"

namespace heed::testing {

inline std::unique_ptr<Client> ConnectTo(const FakeServer& server,
                                         const ClientOptions& options = {}) {
  auto client = Client::Connect(server.address(), options);
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

}  // namespace heed::testing

#endif  // HEED_TESTS_CLIENT_CONNECT_TO_H_
