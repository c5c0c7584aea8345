"""Jobs served by Django REST Framework, with each of its styles of pages, logins and limits.

Run it with a WSGI server, as `drf_service:application`. JOBS_DATABASE is the file of its database.
"""

import os

import django
from django.conf import settings
from django.urls import include, path

ROWS = 60
#: The token and the password of the only user.
TOKEN, PASSWORD = "drf-t0ken-of-a-user", "open-sesame"

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["JOBS_DATABASE"],
            # Threads of the server wait for one another.
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "rest_framework.authtoken",
    ],
    MIDDLEWARE=[
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models  # noqa: E402
from rest_framework import pagination, permissions, routers, serializers, viewsets  # noqa: E402
from rest_framework.authentication import BasicAuthentication, TokenAuthentication  # noqa: E402
from rest_framework.authtoken.models import Token  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.throttling import AnonRateThrottle  # noqa: E402


class Job(models.Model):
    name = models.CharField(max_length=80)
    cron_expression = models.CharField(max_length=80, default="0 9 * * *")
    enabled = models.BooleanField(default=True)
    last_status = models.CharField(max_length=20, null=True)
    next_run_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "jobs"


class JobSerializer(serializers.ModelSerializer):
    class Meta:
        model = Job
        fields = "__all__"


class ByPage(pagination.PageNumberPagination):
    page_size = 25


class ByLimit(pagination.LimitOffsetPagination):
    default_limit = 25


class ByCursor(pagination.CursorPagination):
    page_size = 25
    ordering = "id"


class Linked(ByPage):
    """The example of a custom style in the manual."""

    def get_paginated_response(self, data):
        links = {"next": self.get_next_link(), "previous": self.get_previous_link()}
        return Response({"links": links, "count": self.page.paginator.count, "results": data})


class InHeader(ByPage):
    """The manual's example with the header Link."""

    def get_paginated_response(self, data):
        links = {"next": self.get_next_link(), "prev": self.get_previous_link()}
        header = ", ".join(f'<{url}>; rel="{name}"' for name, url in links.items() if url)
        return Response(data, headers={"Link": header} if header else {})


class Numbered(ByPage):
    """Page numbers, which many frontends use."""

    page_size_query_param = "page_size"

    def get_paginated_response(self, data):
        paginator = self.page.paginator
        numbers = {"page": self.page.number, "total_pages": paginator.num_pages}
        return Response({"count": paginator.count, "results": data} | numbers)


class Sized(ByPage):
    """The number and the size, but no total. The last page is full."""

    page_size = 20

    def get_paginated_response(self, data):
        return Response({"page": self.page.number, "page_size": 20, "results": data})


class Silent(ByPage):
    """The total, without any link to the other pages."""

    page_size_query_param = "page_size"

    def get_paginated_response(self, data):
        return Response({"count": self.page.paginator.count, "results": data})


class Bare(Silent):
    """Only the rows of the page."""

    def get_paginated_response(self, data):
        return Response(data)


class ASecond(AnonRateThrottle):
    scope, rate = "second", "2/s"


class AnHour(AnonRateThrottle):
    scope, rate = "hour", "1/h"


class Jobs(viewsets.ModelViewSet):
    queryset = Job.objects.order_by("id")
    serializer_class = JobSerializer


def variant(name: str, **attributes: object) -> type[Jobs]:
    return type(name, (Jobs,), attributes)


LOCKED = {"permission_classes": [permissions.IsAuthenticated]}
SETS = {
    "whole": variant("Whole"),
    "page": variant("InPages", pagination_class=ByPage),
    "limit": variant("InLimits", pagination_class=ByLimit),
    "cursor": variant("ByCursors", pagination_class=ByCursor),
    "linked": variant("WithLinks", pagination_class=Linked),
    "header": variant("WithHeader", pagination_class=InHeader),
    "numbered": variant("WithNumbers", pagination_class=Numbered),
    "sized": variant("WithSizes", pagination_class=Sized),
    "silent": variant("WithTotal", pagination_class=Silent),
    "bare": variant("WithNothing", pagination_class=Bare),
    "token": variant("ByToken", authentication_classes=[TokenAuthentication], **LOCKED),
    "basic": variant("ByPassword", authentication_classes=[BasicAuthentication], **LOCKED),
    "forbidden": variant(
        "ForAdmins",
        authentication_classes=[TokenAuthentication],
        permission_classes=[permissions.IsAdminUser],
    ),
    "second": variant("Quick", pagination_class=ByPage, throttle_classes=[ASecond]),
    "hour": variant("Slow", throttle_classes=[AnHour]),
}
router = routers.SimpleRouter()
for name, views in SETS.items():
    router.register(name, views, basename=name)
urlpatterns = [path("api/", include(router.urls))]

call_command("migrate", verbosity=0)
with connection.schema_editor() as editor:
    editor.create_model(Job)
Job.objects.bulk_create(Job(name=f"Job {number}") for number in range(1, ROWS + 1))
Token.objects.create(user=User.objects.create_user("aladdin", password=PASSWORD), key=TOKEN)
application = get_wsgi_application()
