#include "client/cli/explore/explore_http.h"

#include <httplib.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace heed::cli {
namespace {

constexpr char kLoopback[] = "127.0.0.1";
// A browser keeps some connections open, each of which has a thread.
constexpr size_t kThreads = 24;
constexpr time_t kIdleSeconds = 1;  // also how long the end may wait for open connections
constexpr time_t kTimeoutSeconds = 5;
constexpr size_t kMaxPageName = 64;

void Answer(const PostAnswer& answer, httplib::Response& response) {
  response.status = answer.code;
  if (!answer.json.empty()) response.set_content(answer.json, "application/json");
}

void Refuse(int code, absl::StatusCode status, absl::string_view why, httplib::Response& response) {
  Answer(PostError(code, absl::Status(status, why)), response);
}

}  // namespace

class ExploreHttpServer::Impl {
 public:
  Impl(std::string page, PostFn post) : page_(std::move(page)), post_(std::move(post)) {
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    // Not SO_REUSEPORT, with which somebody else's program could take half of the connections.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server_.set_payload_max_length(kMaxBodyBytes);
    server_.set_keep_alive_timeout(kIdleSeconds);
    server_.set_read_timeout(kTimeoutSeconds);
    server_.set_write_timeout(kTimeoutSeconds);
    server_.set_tcp_nodelay(true);
    server_.set_pre_routing_handler(
        [this](const httplib::Request& request, httplib::Response& response) {
          return IsOurs(request, response) ? httplib::Server::HandlerResponse::Unhandled
                                           : httplib::Server::HandlerResponse::Handled;
        });
    server_.Get("/", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(page_, "text/html; charset=utf-8");
    });
    server_.Post("/explore", [this](const httplib::Request& request, httplib::Response& response) {
      OnPost(request, response);
    });
    server_.set_default_headers({
        {"Cache-Control", "no-store"},
        {"Content-Security-Policy",
         "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
         "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Referrer-Policy", "no-referrer"},
        {"X-Content-Type-Options", "nosniff"},
    });
  }

  absl::Status Bind(int port) {
    if (port == 0) {
      port_ = server_.bind_to_any_port(kLoopback);
    } else if (server_.bind_to_port(kLoopback, port)) {
      port_ = port;
    }
    if (port_ > 0) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("cannot listen on ", kLoopback, ":", port,
                                               ": the port is taken; choose another with --port"));
  }

  void Serve() {
    thread_ = std::thread([this] {
      server_.listen_after_bind();
      ended_ = true;
    });
  }

  ~Impl() {
    // What is asked to stop before it has begun goes on.
    while (thread_.joinable() && !ended_) {
      server_.stop();
      absl::SleepFor(absl::Milliseconds(1));
    }
    if (thread_.joinable()) thread_.join();
  }

  int port() const { return port_; }

 private:
  bool IsOurHost(absl::string_view host) const {
    return host == absl::StrCat(kLoopback, ":", port_) || host == absl::StrCat("localhost:", port_);
  }

  bool IsOurs(const httplib::Request& request, httplib::Response& response) const {
    const std::string host = request.get_header_value("Host");
    if (request.get_header_value_count("Host") != 1 || !IsOurHost(host)) {
      Refuse(403, absl::StatusCode::kPermissionDenied,
             absl::StrCat("this is ", kLoopback, ":", port_, " and no other host"), response);
      return false;
    }
    if (request.method != "POST" || !request.has_header("Origin")) return true;
    if (request.get_header_value("Origin") == absl::StrCat("http://", host)) return true;
    Refuse(403, absl::StatusCode::kPermissionDenied, "posts from other origins are not taken",
           response);
    return false;
  }

  void OnPost(const httplib::Request& request, httplib::Response& response) const {
    if (!absl::StartsWith(request.get_header_value("Content-Type"), "application/json")) {
      return Refuse(415, absl::StatusCode::kInvalidArgument,
                    "the content type must be application/json", response);
    }
    const std::string page = request.get_header_value("X-Heed-Page");
    if (page.empty() || page.size() > kMaxPageName) {
      return Refuse(400, absl::StatusCode::kInvalidArgument,
                    absl::StrCat("X-Heed-Page must be a text of 1 to ", kMaxPageName,
                                 " characters, the same in all posts of a page"),
                    response);
    }
    Answer(post_(page, request.body), response);
  }

  const std::string page_;
  const PostFn post_;
  httplib::Server server_;
  int port_ = 0;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

ExploreHttpServer::ExploreHttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ExploreHttpServer::~ExploreHttpServer() = default;

absl::StatusOr<std::unique_ptr<ExploreHttpServer>> ExploreHttpServer::Start(int port,
                                                                            std::string page,
                                                                            PostFn post) {
  auto impl = std::make_unique<Impl>(std::move(page), std::move(post));
  if (absl::Status status = impl->Bind(port); !status.ok()) return status;
  impl->Serve();
  return std::unique_ptr<ExploreHttpServer>(new ExploreHttpServer(std::move(impl)));
}

int ExploreHttpServer::port() const {
  return impl_->port();
}

}  // namespace heed::cli
