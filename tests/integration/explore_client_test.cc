// Exploring through the client library, and through the server of `heed explore`'s page.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/explore/explore_bridge.h"
#include "client/cli/explore/explore_http.h"
#include "client/cli/explore/explore_page.h"
#include "client/explore_session.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "tests/integration/raw_server.h"

namespace heed {
namespace {

using cli::ExploreBridge;
using cli::ExploreHttpServer;
using cli::PostAnswer;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

v1::ExploreRequest OpenRequest() {
  v1::ExploreRequest request;
  for (int id : {5, 9, 17, 23})
    request.mutable_open()->mutable_prompt()->mutable_tokens()->add_ids(id);
  return request;
}

v1::ExploreRequest DialRequest(double beta, int64_t sequence = 0) {
  v1::ExploreRequest request;
  request.set_sequence(sequence);
  request.mutable_edits()->add_interventions()->mutable_scale_scores()->set_beta(beta);
  return request;
}

class ExploreClientTest : public SharedServerTest {
 protected:
  ExploreClientTest() {
    auto connected = Client::Connect(absl::StrCat("127.0.0.1:", shared_->server().port()));
    EXPECT_TRUE(connected.ok()) << connected.status();
    client_ = *std::move(connected);
  }

  std::unique_ptr<Client> client_;
};

TEST_F(ExploreClientTest, AsksOrSendsAndReads) {
  ExploreSession session(*client_);
  const auto opened = session.Ask(OpenRequest());
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(opened->has_opened());
  const auto edited = session.Ask(DialRequest(3));
  ASSERT_TRUE(edited.ok()) << edited.status();
  EXPECT_THAT(edited->predictions(), SizeIs(1));
  const auto refused = session.Ask(DialRequest(-3));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(GetServerError(refused.status()).wrong_fields, SizeIs(1));

  std::vector<int64_t> sent;
  for (int i = 0; i < 5; ++i) {
    const auto sequence = session.Send(DialRequest(i));
    ASSERT_TRUE(sequence.ok()) << sequence.status();
    sent.push_back(*sequence);
  }
  EXPECT_THAT(sent, testing::ElementsAre(4, 5, 6, 7, 8));
  session.HalfClose();
  EXPECT_EQ(session.Send(DialRequest(1)).status().code(), absl::StatusCode::kUnavailable);
  int64_t last = 0;
  while (true) {
    const auto response = session.Read();
    ASSERT_TRUE(response.ok()) << response.status();
    if (!response->has_value()) break;
    EXPECT_GT((*response)->sequence(), last);
    last = (*response)->sequence();
  }
  EXPECT_EQ(last, 8);
}

TEST_F(ExploreClientTest, AnErrorOrCancellingEndsIt) {
  ExploreSession wrong(*client_);
  EXPECT_EQ(wrong.Ask(DialRequest(1)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(wrong.Read().status().code(), absl::StatusCode::kInvalidArgument);

  CancelToken cancel;
  ExploreSession session(*client_, {.cancel = &cancel});
  ASSERT_TRUE(session.Ask(OpenRequest()).ok());
  std::thread canceller([&] { cancel.Cancel(); });
  EXPECT_EQ(session.Read().status().code(), absl::StatusCode::kCancelled);
  canceller.join();
}

// ---- The page's server --------------------------------------------------------------------------

v1::ExploreResponse Parse(const PostAnswer& answer) {
  v1::ExploreResponse response;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(answer.json, &response).ok())
      << answer.json;
  return response;
}

std::string Json(v1::ExploreRequest request, int64_t sequence) {
  request.set_sequence(sequence);
  return cli::ToWireJson(request);
}

TEST_F(ExploreClientTest, PagesHaveSessionsOfTheirOwn) {
  ExploreBridge bridge(client_.get(), {});
  EXPECT_EQ(bridge.Post("a", Json(DialRequest(2), 1)).code, 410);
  const PostAnswer opened = bridge.Post("a", Json(OpenRequest(), 1));
  EXPECT_EQ(opened.code, 200);
  EXPECT_EQ(Parse(opened).opened().prompt().tokens_size(), 4);
  EXPECT_THAT(opened.json, HasSubstr("\"baseRank\":1"));
  const v1::ExploreResponse edited = Parse(bridge.Post("a", Json(DialRequest(2), 2)));
  EXPECT_EQ(edited.sequence(), 2);
  EXPECT_THAT(edited.predictions(), SizeIs(1));
  EXPECT_EQ(bridge.Post("b", Json(DialRequest(2), 2)).code, 410);

  // What is wrong, and what comes late.
  EXPECT_EQ(bridge.Post("a", "{").code, 400);
  EXPECT_EQ(bridge.Post("a", "{\"nothing\": 1}").code, 400);
  EXPECT_EQ(bridge.Post("a", Json(DialRequest(2), 0)).code, 400);
  EXPECT_EQ(bridge.Post("a", Json(DialRequest(5), 2)).code, 204);
  const PostAnswer refused = bridge.Post("a", Json(DialRequest(-1), 3));
  EXPECT_EQ(refused.code, 200);
  EXPECT_EQ(Parse(refused).error().code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(refused.json, HasSubstr("edits.interventions[0].scale_scores.beta"));

  // Opened again; and with what no session can begin with.
  EXPECT_EQ(Parse(bridge.Post("a", Json(OpenRequest(), 4))).opened().layer_count(), 3);
  v1::ExploreRequest nobody = OpenRequest();
  nobody.mutable_open()->set_model("nobody");
  const PostAnswer none = bridge.Post("a", Json(nobody, 5));
  EXPECT_EQ(none.code, 410);
  EXPECT_EQ(Parse(none).error().code(), grpc::NOT_FOUND);

  // The page that was silent the longest gives way.
  for (size_t i = 0; i < ExploreBridge::kMaxPages; ++i) {
    EXPECT_EQ(bridge.Post(absl::StrCat("page", i), Json(OpenRequest(), 1)).code, 200);
  }
  EXPECT_EQ(bridge.Post("a", Json(DialRequest(2), 6)).code, 410);
  EXPECT_EQ(bridge.Post("page1", Json(DialRequest(2), 6)).code, 200);
}

TEST_F(ExploreClientTest, OfPostsAtOnceTheNewestIsAnswered) {
  ExploreBridge bridge(client_.get(), {});
  ASSERT_EQ(bridge.Post("a", Json(OpenRequest(), 1)).code, 200);
  constexpr int kPosts = 40;
  std::vector<int> codes(kPosts);
  std::vector<std::thread> posts;
  for (int i = 0; i < kPosts; ++i) {
    posts.emplace_back([&, i] {
      const PostAnswer answer = bridge.Post("a", Json(DialRequest(0.1 * i), 2 + i));
      codes[i] = answer.code;
      if (answer.code == 200) {
        EXPECT_EQ(Parse(answer).sequence(), 2 + i);
      }
    });
  }
  for (std::thread& post : posts) post.join();
  EXPECT_THAT(codes, testing::Each(testing::AnyOf(200, 204)));
  EXPECT_EQ(codes.back(), 200);
}

// Sends bytes to a port of this machine and reads until the other side closes.
std::string Exchange(int port, const std::string& request) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  std::string reply;
  char buffer[4096];
  for (ssize_t count = 0; (count = read(fd, buffer, sizeof(buffer))) > 0;) {
    reply.append(buffer, static_cast<size_t>(count));
  }
  close(fd);
  return reply;
}

TEST(ExploreHttpServerTest, ServesItsOwnPageAndNobodyElse) {
  auto started = ExploreHttpServer::Start(0, "<p>page</p>",
                                          [](const std::string& page, const std::string& body) {
                                            return PostAnswer{200, absl::StrCat(page, body)};
                                          });
  ASSERT_TRUE(started.ok()) << started.status();
  const int port = (*started)->port();
  const std::string host = absl::StrCat("127.0.0.1:", port);
  const auto get = [&](const std::string& path, const std::string& of_host) {
    return Exchange(port, absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: ", of_host,
                                       "\r\nConnection: close\r\n\r\n"));
  };
  const std::string page = get("/", host);
  EXPECT_THAT(page, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(page, HasSubstr("<p>page</p>"));
  EXPECT_THAT(page, HasSubstr("frame-ancestors 'none'"));
  EXPECT_THAT(get("/", absl::StrCat("localhost:", port)), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(get("/", absl::StrCat("evil.example:", port)), StartsWith("HTTP/1.1 403"));
  EXPECT_THAT(get("/", "127.0.0.1"), StartsWith("HTTP/1.1 403"));
  EXPECT_THAT(get("/other", host), StartsWith("HTTP/1.1 404"));

  const auto post = [&](const std::string& headers, const std::string& body) {
    return Exchange(port, absl::StrCat("POST /explore HTTP/1.1\r\nHost: ", host,
                                       "\r\nConnection: close\r\nContent-Length: ", body.size(),
                                       "\r\n", headers, "\r\n", body));
  };
  const std::string json = "Content-Type: application/json\r\n";
  const std::string ours = json + "X-Heed-Page: me\r\n";
  EXPECT_THAT(post(ours, "{}"), testing::AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("me{}")));
  EXPECT_THAT(post(absl::StrCat(ours, "Origin: http://", host, "\r\n"), "{}"),
              StartsWith("HTTP/1.1 200"));
  for (const std::string origin : {"https://evil.example", "null", "http://127.0.0.1"}) {
    EXPECT_THAT(post(absl::StrCat(ours, "Origin: ", origin, "\r\n"), "{}"),
                StartsWith("HTTP/1.1 403"));
  }
  EXPECT_THAT(post(json, "{}"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(post(absl::StrCat(json, "X-Heed-Page: ", std::string(65, 'x'), "\r\n"), "{}"),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(post("Content-Type: text/plain\r\nX-Heed-Page: me\r\n", "{}"),
              StartsWith("HTTP/1.1 415"));
  EXPECT_THAT(post(ours, std::string(ExploreHttpServer::kMaxBodyBytes + 1, 'x')),
              HasSubstr(" 413 "));
  // The port is taken.
  EXPECT_EQ(ExploreHttpServer::Start(port, "", nullptr).status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace heed
