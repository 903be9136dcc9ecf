#include "client/cli/explore/explore_bridge.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/explore/explore_page.h"
#include "client/explore_session.h"
#include "google/protobuf/util/json_util.h"
#include "google/rpc/status.pb.h"

namespace heed::cli {
namespace {

constexpr int kGone = 410;
constexpr int kBadRequest = 400;
constexpr int kNewerAnswers = 204;

PostAnswer NoSession() {
  return PostError(kGone, absl::FailedPreconditionError(
                              "this page has no session; post a request with open first"));
}

}  // namespace

PostAnswer PostError(int code, const absl::Status& error) {
  v1::ExploreResponse response;
  response.mutable_error()->set_code(static_cast<int>(error.code()));
  response.mutable_error()->set_message(std::string(error.message()));
  error.ForEachPayload([&](absl::string_view type, const absl::Cord& value) {
    auto* const detail = response.mutable_error()->add_details();
    detail->set_type_url(std::string(type));
    detail->set_value(std::string(value));
  });
  return {code, absl::StrCat("{\"error\":", ToWireJson(response.error()), "}")};
}

// One page's session, and the thread that reads it.
class ExploreBridge::PageSession {
 public:
  PageSession(const Client& client, const CallOptions& options)
      : session_(client, options), reader_([this] { ReadAll(); }) {}
  ~PageSession() {
    session_.Cancel();
    reader_.join();
  }

  void Cancel() { session_.Cancel(); }

  PostAnswer Ask(v1::ExploreRequest request) {
    Waiting waiting{this, request.sequence()};
    {
      absl::MutexLock lock(&send_mutex_);
      if (waiting.sequence <= sent_) return {kNewerAnswers, ""};
      sent_ = waiting.sequence;
      {
        // Before it is sent, for the answer may be there at once.
        absl::MutexLock waiting_lock(&mutex_);
        waiting_.push_back(&waiting);
      }
      // An error is the reader's to find out.
      session_.Send(std::move(request)).IgnoreError();
    }
    absl::MutexLock lock(&mutex_);
    const auto is_answered = [](Waiting* w) {
      w->owner->mutex_.AssertReaderHeld();
      return w->answer.has_value() || w->owner->end_.has_value();
    };
    mutex_.Await(absl::Condition(+is_answered, &waiting));
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &waiting));
    return waiting.answer.has_value() ? *std::move(waiting.answer) : PostError(kGone, *end_);
  }

 private:
  struct Waiting {
    PageSession* owner;
    int64_t sequence;
    std::optional<PostAnswer> answer = std::nullopt;
  };

  void ReadAll() {
    while (true) {
      absl::StatusOr<std::optional<v1::ExploreResponse>> response = session_.Read();
      absl::MutexLock lock(&mutex_);
      if (!response.ok() || !response->has_value()) {
        end_ = response.ok() ? absl::UnavailableError("the session is over") : response.status();
        return;
      }
      Deliver(**response);
    }
  }

  void Deliver(const v1::ExploreResponse& response) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (Waiting* const waiting : waiting_) {
      if (waiting->sequence > response.sequence() || waiting->answer.has_value()) continue;
      waiting->answer = waiting->sequence == response.sequence()
                            ? PostAnswer{200, ToWireJson(response)}
                            : PostAnswer{kNewerAnswers, ""};
    }
  }

  ExploreSession session_;
  absl::Mutex send_mutex_;
  int64_t sent_ ABSL_GUARDED_BY(send_mutex_) = 0;
  absl::Mutex mutex_;
  std::vector<Waiting*> waiting_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  std::thread reader_;
};

ExploreBridge::~ExploreBridge() = default;

std::shared_ptr<ExploreBridge::PageSession> ExploreBridge::FindSession(const std::string& page,
                                                                       bool opens) {
  // Ended without the lock.
  std::vector<std::shared_ptr<PageSession>> ended;
  absl::MutexLock lock(&mutex_);
  const auto known =
      std::find_if(pages_.begin(), pages_.end(), [&](const Page& one) { return one.name == page; });
  Page found{page, nullptr};
  if (known != pages_.end()) {
    found.session = std::move(known->session);
    pages_.erase(known);
  } else if (!opens) {
    return nullptr;
  }
  if (opens) {
    ended.push_back(
        std::exchange(found.session, std::make_shared<PageSession>(*client_, options_)));
    if (pages_.size() >= kMaxPages) {
      ended.push_back(std::move(pages_.front().session));
      pages_.erase(pages_.begin());
    }
  }
  for (const auto& session : ended) {
    // Posts that wait for it hold it a little longer.
    if (session != nullptr) session->Cancel();
  }
  pages_.push_back(found);
  return found.session;
}

PostAnswer ExploreBridge::Post(const std::string& page, absl::string_view body) {
  v1::ExploreRequest request;
  const auto parsed = google::protobuf::util::JsonStringToMessage(std::string(body), &request);
  if (!parsed.ok()) {
    return PostError(kBadRequest,
                     absl::InvalidArgumentError(absl::StrCat(
                         "not an ExploreRequest: ",
                         std::string(parsed.message().data(), parsed.message().size()))));
  }
  if (request.sequence() <= 0) {
    return PostError(kBadRequest, absl::InvalidArgumentError(
                                      "sequence is missing; number the posts of a page from 1 on"));
  }
  const std::shared_ptr<PageSession> session = FindSession(page, request.has_open());
  if (session == nullptr) return NoSession();
  return session->Ask(std::move(request));
}

}  // namespace heed::cli
